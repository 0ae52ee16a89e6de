"""What leaving files out by `[image] exclude` has in common, whatever the archives."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cdaf import progress


def tell_idle(patterns: Sequence[str], used: Collection[str]) -> None:
    """Warn of patterns that match nothing in any image: a new version of a package may have made them so."""
    for pattern in patterns:
        if pattern not in used:
            progress.warn(f"image.exclude: {pattern!r} matches no file of any archive in the image")
