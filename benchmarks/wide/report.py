"""The least that a service can do with such dependencies."""

from collections.abc import Callable, Iterable

import pandas as pd  # type: ignore[import-untyped]  # the service's dependency, not the project's


def app(_: dict[str, object], start: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """Answer every request with a sum (PEP 3333)."""
    start("200 OK", [("Content-Type", "text/plain")])
    return [f"{pd.Series(range(7)).sum()}\n".encode()]
