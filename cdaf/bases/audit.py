"""Judging native files against a base: CPU, libc, symbol versions, libraries.

What is loaded for sure, and what that loads, has to fit; of other ELF files (plug-ins that a package tries, programs
for other machines that are its data) it is only noted that they would not. A portable package gets by without libraries
that are no part of every system, for else it would have brought them; unless nothing of it is left that fits.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import msgspec

from cdaf.bases import elf
from cdaf.bases.elf import Elf
from cdaf.projects.pins import Base, Facts

# A version that is no number, and the glibc that came with it (glibc's NEWS).
_NAMED = {"GLIBC_ABI_DT_RELR": (2, 36)}
_VERSION = re.compile(r"(.+)_([0-9]+(?:\.[0-9]+)*)")
# The libraries outside of themselves that portable packages count on (the manylinux policies, PEP 600).
_SYSTEM = re.compile(
    r"lib(?:(?:c|m)\.so\.6|(?:dl|rt)\.so\.[12]|(?:pthread|util|resolv|nsl|anl|mvec)\.so\.[0-2]|(?:gcc_s|atomic|z|expat)\.so\.1"
    r"|stdc\+\+\.so\.6|(?:X11|Xext|ICE|SM)\.so\.6|(?:Xrender|GL)\.so\.1|(?:glib|gobject|gthread)-2\.0\.so\.0)"
)
_GLIBC = ("libc.so.6", "ld-linux")
_MUSL = ("libc.musl-", "ld-musl-")
_MUSLS_OWN = re.compile(
    r"lib(?:c|pthread|rt|m|dl|util|xnet)\..*"
)  # its dynamic linker is all of these (ldso/dynlink.c)


class File(msgspec.Struct, frozen=True):
    """A native file of an image: its `path` there, its `name` for people, the package that brings it.

    `loaded` says that something loads it for sure, `native` that its package is for one platform, and so uses some of
    its native files, `portable` that it is built for many systems and brings what not all of them have.
    """

    path: str
    name: str
    package: str
    elf: Elf
    loaded: bool
    native: bool = False
    portable: bool = False


class Misfit(msgspec.Struct, frozen=True):
    """What one file asks and the base has not, and what would mend it; `lacks` is a library."""

    file: File
    what: str
    mend: str
    lacks: str = ""


class _Image(msgspec.Struct, frozen=True):
    """The files of an image by path and by the names that others need them by, and the base below them."""

    base: Base
    paths: dict[str, File]
    names: dict[str, list[File]]


def misfits(files: Sequence[File], base: Base, below: Sequence[File] = ()) -> tuple[list[Misfit], list[Misfit]]:
    """What must be mended, and what is only worth knowing.

    The files may need those `below`, which stand between the base and them, and are not judged themselves.
    """
    together = [*below, *files]
    image = _Image(base, {each.path: each for each in together}, {})
    for each in together:
        for name in {posixpath.basename(each.path), each.elf.soname} - {""}:
            image.names.setdefault(name, []).append(each)
    found = [wrong for each in files for wrong in _misfits(image, each)]
    loaded = _reached(image, [each for each in files if each.loaded])
    useless = _useless(image, files, found)

    def is_certain(wrong: Misfit) -> bool:
        file, lacking = wrong.file, wrong.lacks
        needed = not lacking or bool(_SYSTEM.fullmatch(lacking)) or not file.portable
        return (file.path in loaded and needed) or file.path in useless

    return [each for each in found if is_certain(each)], [each for each in found if not is_certain(each)]


def _useless(image: _Image, files: Sequence[File], found: Sequence[Misfit]) -> set[str]:
    """The files of packages of which nothing can be loaded: no module, or no file of a native one without modules."""
    broken = {wrong.file.path for wrong in found}
    useless: set[str] = set()
    for package in {wrong.file.package for wrong in found}:
        own = [each for each in files if each.package == package]
        entries = [each for each in own if each.loaded] or [each for each in own if each.native]
        if entries and all(broken & _reached(image, [each]) for each in entries):
            useless |= _reached(image, entries)
    return useless


def faults(found: Iterable[Misfit]) -> list[str]:
    """One line for each package and misfit, however many of its files have it, with what would mend it."""
    same: dict[tuple[str, str, str], list[str]] = {}
    for each in found:
        same.setdefault((each.file.package, each.what, each.mend), []).append(each.file.name)
    return [
        f"{package}: {names[0]}{_more(names)} {what}; {mend}" for (package, what, mend), names in sorted(same.items())
    ]


def notes(found: Iterable[Misfit]) -> list[str]:
    """One line for each package, with the first of its misfits."""
    same: dict[str, dict[str, str]] = {}
    for each in found:
        same.setdefault(each.file.package, {}).setdefault(each.file.name, each.what)
    return [
        f"{package}: {name}{_more(list(names))} {what}"
        for package, names in same.items()
        for name, what in [next(iter(names.items()))]
    ]


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more of its files)" if len(names) > 1 else ""


def _reached(image: _Image, waiting: list[File]) -> set[str]:
    """The paths of what is loaded: these, and the libraries of the image that they need."""
    found = {each.path for each in waiting}
    while waiting:
        current = waiting.pop()
        for needed in current.elf.needed:
            library = _library(image, current, needed)
            if library and library.path not in found:
                found.add(library.path)
                waiting.append(library)
    return found


def _library(image: _Image, file: File, needed: str) -> File | None:
    """The file of the image that a name leads to: by the search path, else from the same package, else from any.

    The last is what libraries count on that another package has loaded before, for the dynamic linker goes by names.
    """
    for folder in file.elf.search:
        origin = folder.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", posixpath.dirname(file.path))
        if found := image.paths.get(posixpath.normpath(f"{origin}/{needed}")):
            return found
    same = [
        each for each in image.names.get(needed, ()) if elf.fits(each.elf, image.base.platform) and not each.elf.fault
    ]
    return min(same, key=lambda each: (each.package != file.package, each.path), default=None)


def _misfits(image: _Image, file: File) -> Iterator[Misfit]:
    base, own = image.base, file.elf
    facts = base.facts
    if own.fault:
        yield Misfit(file, f"cannot be loaded: {own.fault}", "lock another version, or ask for a sound build")
    elif own.kind not in (elf.EXECUTABLE, elf.SHARED):
        return
    elif not elf.fits(own, base.platform):
        mend = f"lock a version that is built for {base.platform}, or leave the platform out"
        yield Misfit(file, f"is for {elf.cpu(own)}, not for {base.platform}", mend)
    elif foreign := _foreign(own, facts):
        mend = f"choose a base with {foreign}, or lock a version that is built for {facts.libc}"
        yield Misfit(file, f"is built for {foreign}, and {base.reference} has {_libc(facts)}", mend)
    else:
        yield from _lacking(image, file)


def _libc(facts: Facts) -> str:
    return f"{facts.libc} {facts.libc_version}"


def _foreign(own: Elf, facts: Facts) -> str:
    """The libc that a file is built for, if the base has the other one, and nothing that stands in for it."""
    names = {*own.needed, posixpath.basename(own.interpreter)} - {*facts.libraries}
    if facts.libc == "musl":
        return "glibc" if any(name.startswith(_GLIBC) for name in names) else ""
    return "musl" if facts.libc and any(name == "libc.so" or name.startswith(_MUSL) for name in names) else ""


def _lacking(image: _Image, file: File) -> Iterator[Misfit]:
    facts, reference = image.base.facts, image.base.reference
    wanted = [*file.elf.needed, *([posixpath.basename(file.elf.interpreter)] if file.elf.interpreter else [])]
    own = _MUSLS_OWN.fullmatch if facts.libc == "musl" else lambda _: None
    for name in wanted if facts.libraries else ():
        if name not in facts.libraries and not own(name) and _library(image, file, name) is None:
            yield Misfit(file, f"needs {name}, which {reference} lacks", _provider(name, facts.libc), name)
    for library, versions in file.elf.versions.items():
        if _library(image, file, library) is None:
            yield from _too_new(file, library, versions, image.base)


# Debian's packages that are not named after their library.
_DEBIAN = {"libz.so.1": "zlib1g"} | dict.fromkeys(
    ("libglib-2.0.so.0", "libgobject-2.0.so.0", "libgthread-2.0.so.0"), "libglib2.0-0t64"
)


def _provider(name: str, libc: str) -> str:
    """Where a library comes from: Debian names packages after sonames (policy 8.1), apk finds them by sonames."""
    if libc == "musl":
        return f"choose a base that has it (apk add so:{name}), or lock a version without that need"
    stem, _, version = name.partition(".so")
    version = version.lstrip(".").partition(".")[0]
    package = _DEBIAN.get(name) or f"{stem}{'-' if stem[-1:].isdigit() and version else ''}{version}".lower().replace(
        "_", "-"
    )
    return f"choose a base that has it (Debian's package is usually {package}), or lock a version without that need"


def _too_new(file: File, library: str, versions: Sequence[str], base: Base) -> Iterator[Misfit]:
    facts = base.facts
    if facts.libc == "glibc" and (glibc := max(_glibc(versions), default=None)):
        if glibc > numbers(facts.libc_version):
            needed = ".".join(map(str, glibc))
            mend = f"choose a base with glibc {needed} or later, or lock a version that is built for an older one"
            yield Misfit(file, f"needs glibc {needed}, and {base.reference} has {_libc(facts)}", mend)
    elif has := _highest(symbols(facts, library)):
        for family, number in _highest(versions).items():
            if number > has.get(family, ()):
                version = f"{family}_{'.'.join(map(str, number))}"
                mend = f"choose a base with a newer {library}, or lock a version that is built for an older one"
                yield Misfit(file, f"needs {version} of {library}, which that of {base.reference} lacks", mend)


def _glibc(versions: Iterable[str]) -> Iterator[tuple[int, ...]]:
    for version in versions:
        family, number = _split(version)
        if family == "GLIBC" or version in _NAMED:
            yield _NAMED.get(version, number)


def symbols(facts: Facts, library: str) -> tuple[str, ...]:
    """The highest symbol version of each family that the base's library has; empty when it is not known."""
    told = (each.removesuffix(")").split("(", 1) for each in facts.symbols)
    return tuple(version for name, version in told if name == library)


def numbers(version: str) -> tuple[int, ...]:
    """A dotted version's numbers."""
    return tuple(int(part) for part in re.findall("[0-9]+", version))


def newest(versions: Iterable[str]) -> tuple[str, ...]:
    """The highest version of each family: what a base's lock has to say of a library."""
    return tuple(
        sorted(f"{family}_{'.'.join(map(str, number))}" for family, number in _highest(versions).items() if family)
    )


@lru_cache(maxsize=4096)
def _split(version: str) -> tuple[str, tuple[int, ...]]:
    found = _VERSION.fullmatch(version)
    return (found[1], numbers(found[2])) if found else ("", ())


def _highest(versions: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The highest number of each family: {"GLIBCXX": (3, 4, 33), "CXXABI": (1, 3, 15)}."""
    found: dict[str, tuple[int, ...]] = {}
    for version in versions:
        family, number = _split(version)
        if family:
            found[family] = max(found.get(family, ()), number)
    return found
