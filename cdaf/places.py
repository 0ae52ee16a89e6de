"""What of this machine cdaf uses: the folder that it keeps between runs, and how much it does at once."""

import os
from pathlib import Path

_MOST = 64
HINT = "set CDAF_CACHE to a folder that you may write to"


def cache() -> Path:
    """The cache's folder: `CDAF_CACHE`, else the platform's own place for caches."""
    chosen = os.environ.get("CDAF_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("cdaf", appauthor=False))


def workers() -> int:
    """How many layers are written at once: `CDAF_WORKERS`, else 2. No byte hangs on it. Raises UsageError."""
    told = os.environ.get("CDAF_WORKERS", "2")
    if not (told.isascii() and told.isdecimal() and len(told) < 9 and 0 < int(told) <= _MOST):
        from cdaf.errors import UsageError

        raise UsageError(f"CDAF_WORKERS is {told!r}", f"set it to a number from 1 to {_MOST}, or not at all")
    return int(told)


def in_cache(path: str | Path) -> bool:
    """Whether a path is the cache's or lies in it."""
    return Path(path).is_relative_to(cache())
