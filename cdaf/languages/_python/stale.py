"""Whether uv.lock still says what the local manifests ask for, judged without an interpreter."""

from pathlib import Path

from cdaf.languages._python.lockfile import Lockfile


def refuse(root: Path, lock: Lockfile) -> None:
    """Raise ProjectError with every difference between the lock and the manifests."""
