"""The folders cdaf keeps between runs: the content-addressed cache, and nothing else."""

import os
from pathlib import Path

HINT = "set CDAF_CACHE to a folder that you may write to"


def cache() -> Path:
    """The cache's folder: `CDAF_CACHE`, else the platform's own place for caches."""
    chosen = os.environ.get("CDAF_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("cdaf", appauthor=False))


def in_cache(path: str | Path) -> bool:
    """Whether a path is the cache's or lies in it."""
    return Path(path).is_relative_to(cache())
