"""Which packages share a layer: about ten layers that hold still from lock to lock.

A layer that lost, gained or changed a package moves whole, so what a layer costs is its bytes times how often one of
its packages changes. Hence large packages stand with few others and small ones with small ones. A package's place
follows from its own name and size, by bounds that never move; only who is among the very largest hangs on others.
The numbers were chosen by replaying the locks of real projects (`python -m benchmarks.layers`).
"""

import bisect
import hashlib
from collections.abc import Mapping

_ALONE = 3  # packages that have a layer each
_BOUNDS = (64_000, 200_000, 600_000, 2_000_000)  # bytes, as archived; each class is a layer
_BUCKETS = 3  # layers of the class above the last bound
MOST = _ALONE + len(_BOUNDS) + _BUCKETS


def group(sizes: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Layers by name, in their order, each with its packages by name; `sizes` are the archives' in bytes.

    What changes most often, the many small ones, comes last: engines unpack every layer above one that changed again.
    """
    alone = _largest(sizes)
    shared: dict[tuple[int, int], list[str]] = {}
    for name in sorted(sizes.keys() - {*alone}):
        size = bisect.bisect_right(_BOUNDS, sizes[name])
        shared.setdefault((-size, _bucket(name) if size == len(_BOUNDS) else 0), []).append(name)
    named = {_title(-size, bucket): tuple(names) for (size, bucket), names in sorted(shared.items())}
    return {f"package {name}": (name,) for name in alone} | named


def _largest(sizes: Mapping[str, int]) -> list[str]:
    """The packages that stand alone, largest first.

    Sizes count in steps of a quarter of their power of two and names decide within one, so that two packages of about
    one size don't trade places whenever one of them has a new version.
    """
    large = [name for name in sizes if sizes[name] >= _BOUNDS[-1]]
    return sorted(large, key=lambda name: (-_step(sizes[name]), name))[:_ALONE]


def _step(size: int) -> int:
    shift = size.bit_length() - 3
    return 4 * shift + (size >> shift)


def _bucket(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _BUCKETS


def _title(size: int, bucket: int) -> str:
    if size < len(_BOUNDS):
        return f"packages under {_words(_BOUNDS[size])}"
    return f"packages from {_words(_BOUNDS[-1])} on, {bucket + 1} of {_BUCKETS}"


def _words(size: int) -> str:
    return f"{size // 1_000_000} MB" if size >= 1_000_000 else f"{size // 1000} kB"
