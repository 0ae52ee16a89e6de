"""The folders cdaf keeps between runs: the content-addressed cache, and nothing else."""

import os
from pathlib import Path


def cache() -> Path:
    """The cache's folder: `CDAF_CACHE`, else the platform's own place for caches."""
    chosen = os.environ.get("CDAF_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("cdaf", appauthor=False))
