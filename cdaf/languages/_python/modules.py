"""Extension modules: which files an import loads, by name and by what is in them.

Suffixes are those of CPython (PEP 3149, PEP 384); a name without one says nothing, and then the function tells by
which an import enters (PEP 489).
"""

import re
from collections.abc import Mapping

from cdaf.bases import elf
from cdaf.bases.elf import Elf
from cdaf.languages._python.values import Target

_MODULE = re.compile(r"(?:.*/)?([^/.]+)(?:\.(abi3)|\.cpython-(\d+[a-z]*)-[^/]*)?\.so")


def entrance(name: str) -> str:
    """The function by which an import enters the module in this file; empty where the name is no module's."""
    told = _MODULE.fullmatch(name)
    return f"PyInit_{told[1]}" if told else ""


def loadable(native: Mapping[str, Elf], target: Target) -> set[str]:
    """The extension modules among one package's native files that an import would load.

    Where there is one for each of several CPUs, only that for the target's.
    """
    version = target.python.replace(".", "")
    modules: dict[str, list[str]] = {}
    for name, found in native.items():
        told = _MODULE.fullmatch(name)
        if told and (told[2] or told[3] == version or (told[3] is None and found.marked)):
            modules.setdefault(told[1], []).append(name)
    return {
        name
        for names in modules.values()
        for name in [each for each in names if elf.fits(native[each], target.platform)] or names
    }
