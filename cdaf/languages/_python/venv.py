"""The virtual environment's own files, as links and text: what `python -m venv` would leave, but for the activators."""

import posixpath

from cdaf.images.plan import Link
from cdaf.languages._python.values import VENV, Target
from cdaf.languages._shared.frame import SYSTEM_PATH


def configuration(target: Target) -> bytes:
    """`pyvenv.cfg`, by which the interpreter knows that it stands in a virtual environment (PEP 405)."""
    facts = target.base.facts
    lines = [
        f"home = {posixpath.dirname(facts.interpreter)}",
        "implementation = CPython",
        f"version_info = {facts.interpreter_version}",
        "include-system-site-packages = false",
    ]
    return ("\n".join(lines) + "\n").encode()


def links(target: Target) -> tuple[Link, ...]:
    """The interpreter under its three names, and the other name of `lib`."""
    return (
        Link(f"{VENV}/bin/python", target.base.facts.interpreter),
        Link(f"{VENV}/bin/python3", "python"),
        Link(f"{VENV}/bin/python{target.python}", "python"),
        Link(f"{VENV}/lib64", "lib"),
    )


def search_path(target: Target) -> str:
    """PATH: the environment's programs first, then the interpreter's folder if it is an odd one, then the system's."""
    own = posixpath.dirname(target.base.facts.interpreter)
    system = SYSTEM_PATH.split(":")
    return ":".join([f"{VENV}/bin", *([] if own in system else [own]), *system])
