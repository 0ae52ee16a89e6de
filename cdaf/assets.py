"""Where the content of `release/` and `smoke/` lies: in the wheel, or beside the package in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def root() -> Path:
    """The folder that holds `release/` and `smoke/`."""
    installed = _PACKAGE / "_assets"
    return installed if installed.is_dir() else _PACKAGE.parent


def launcher() -> bytes:
    """The program that becomes a bundle's `__main__.py`."""
    return (root() / "release" / "launcher.py").read_bytes()


def compiler() -> bytes:
    """The program that compiles Python's bytecode in a container of the base."""
    return (root() / "release" / "bytecode.py").read_bytes()


def installer() -> bytes:
    """The program that runs install scripts of Node's packages in a container of the build image."""
    return (root() / "release" / "installer.js").read_bytes()


def sidecars() -> Path:
    """The folder of sidecar fragments."""
    return root() / "smoke" / "sidecars"
