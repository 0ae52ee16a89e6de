"""The least that a service can do with such dependencies."""

from collections.abc import Callable, Iterable

import numpy as np  # type: ignore[import-not-found]  # the service's dependency, not the project's


def app(_: dict[str, object], start: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """Answer every request with a mean (PEP 3333)."""
    start("200 OK", [("Content-Type", "text/plain")])
    return [f"{np.mean(np.arange(7)):.1f}\n".encode()]
