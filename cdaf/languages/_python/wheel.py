"""What a wheel becomes in the image: where its files go, what is generated beside them, and a RECORD that is true.

The rules are those of the binary distribution format specification (PEP 427) and of recording installed projects
(PEP 376, PEP 627).
"""

import base64
import csv
import hashlib
import io
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from cdaf.bases import elf
from cdaf.bases.elf import Elf
from cdaf.errors import ImageError, ResolveError, faults
from cdaf.images import content, listing, wheelzip
from cdaf.images.plan import Rewrite
from cdaf.languages._python import modules, scripts
from cdaf.languages._python.values import VENV
from cdaf.languages._shared import memo

INSTALLER = b"cdaf\n"
_DROPPED = ("RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER")
_READ = (".dist-info/WHEEL", ".dist-info/METADATA", ".dist-info/entry_points.txt")
_LONGEST_LICENSE = 60
# The classifiers that stand for one licence alone, and its SPDX identifier; others leave its version open.
_LICENSES = {
    "MIT License": "MIT",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
}
_UNDER_BYTECODE = re.compile(r"(?:^|/)__pycache__(?:$|/[^/]+\.pyc/)")  # a file for the folder, a folder for a file
_LARGEST = 1 << 24  # of what is held in memory: deflate makes a gigabyte out of a megabyte


class Written(msgspec.Struct, frozen=True):
    """A file that the image has and the wheel has not; `path` is below the virtual environment."""

    path: str
    data: bytes
    mode: int = 0o644


class Reading(msgspec.Struct, frozen=True):
    """A wheel, read once.

    `files` are all paths of the virtual environment that it fills, with the urlsafe base64 of their SHA-256; `skip`
    and `rewrites` are the plan's, `written` what is generated, `native` what its ELF files ask for, by path.
    """

    files: dict[str, str]
    skip: tuple[str, ...]
    rewrites: tuple[Rewrite, ...]
    written: tuple[Written, ...]
    version: str
    tags: tuple[str, ...]
    license: str = ""
    native: dict[str, Elf] = {}


class Inside(msgspec.Struct, frozen=True):
    """A file of the wheel: size, digest, and the whole text of the few that are needed."""

    size: int
    digest: str
    data: bytes = b""
    native: Elf | None = None


def site_packages(python: str) -> str:
    """The folder for packages below the virtual environment; `python` is the feature version, "3.13"."""
    return f"lib/python{python}/site-packages"


@lru_cache(maxsize=1024)
def read(path: Path, sha256: str, filename: str, python: str) -> Reading:
    """The reading of a wheel for one feature version of Python, from the cache when it was read before.

    Raises ResolveError, naming the wheel, with everything that makes it unfit.
    """
    name = memo.key("wheel", sha256, filename, python)
    known = memo.load(name, Reading)
    if known is None:
        known = _read(path, sha256, filename, python)
        memo.save(name, known)
    return known


def _read(path: Path, sha256: str, filename: str, python: str) -> Reading:
    try:
        inside = _files(content.of_file(path, sha256))
        info = _dist_info(inside, filename)
        _demand_name(inside, info, filename)
        return _reading(inside, info, python)
    except (ImageError, ValueError, UnicodeDecodeError) as error:
        message = error.message if isinstance(error, ImageError) else str(error)
        hint = "ask its maintainers for a sound wheel, or lock another version"
        raise ResolveError(f"{filename} is not a wheel that can be installed: {message}", hint) from error


def _files(archive: content.Content) -> dict[str, Inside]:
    """Every file of the wheel, inflated and hashed once, so that a damaged one is found before it is sealed."""
    found: dict[str, Inside] = {}
    wrong: list[str] = []
    with content.reading(archive) as reader:
        for entry in wheelzip.entries(reader):
            if not _is_plain(entry.name):
                wrong.append(f"{entry.name!r} leaves the folder it belongs to")
            elif entry.name in found:
                wrong.append(f"{entry.name} is in it twice")
            else:
                found[entry.name] = _inside(reader, entry)
    if wrong:
        raise ValueError(faults("its file names", wrong))
    return found


def _is_plain(name: str) -> bool:
    return (
        bool(name)
        and not name.startswith("/")
        and not {"", ".", ".."} & set(name.split("/"))
        and "\\" not in name
        and "\0" not in name
    )


def _inside(reader: content.Reader, entry: wheelzip.Entry) -> Inside:
    import zlib

    digest, crc, size = hashlib.sha256(), 0, 0
    wanted = entry.name.endswith(_READ)
    kept = bytearray()
    native: list[Elf] = []
    pieces = wheelzip.contents(reader, entry)
    for data in elf.passing(pieces, entry.size, modules.entrance(entry.name), native):
        # Of scripts, which may be large programs, only those are needed whose first line is ours to write.
        wanted = wanted or (size == 0 and ".data/scripts/" in entry.name and scripts.shebang(data) is not None)
        digest.update(data)
        crc, size = zlib.crc32(data, crc), size + len(data)
        if size > entry.size:
            break
        if wanted:
            kept += data
        if len(kept) > _LARGEST:
            raise ValueError(f"{entry.name} is larger than {_LARGEST} bytes")
    if (crc, size) != (entry.crc, entry.size):
        raise ValueError(f"{entry.name} is damaged")
    return Inside(size, _base64(digest.digest()), bytes(kept), next(iter(native), None))


def _base64(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _dist_info(inside: Mapping[str, Inside], filename: str) -> str:
    """The name of the one `.dist-info` folder, which must be this project's and version's."""
    from packaging.utils import canonicalize_name, parse_wheel_filename

    name, version, _, _ = parse_wheel_filename(filename)
    folders = sorted({found.partition("/")[0] for found in inside if found.partition("/")[0].endswith(".dist-info")})
    mine = [folder for folder in folders if canonicalize_name(folder.partition("-")[0]) == name]
    if len(mine) != 1:
        raise ValueError(f"it has no one .dist-info folder of {name} {version}")
    return mine[0]


def _demand_name(inside: Mapping[str, Inside], info: str, filename: str) -> None:
    """What the wheel says of itself must be what its file name, and with it the lock, says."""
    from packaging.utils import canonicalize_name, parse_wheel_filename
    from packaging.version import Version

    name, version, _, _ = parse_wheel_filename(filename)
    told = [("folder", *info.removesuffix(".dist-info").rpartition("-")[::2])]
    if metadata := inside.get(f"{info}/METADATA"):
        headers = _headers(metadata.data)
        told.append(("METADATA", headers.get("name", [""])[0], headers.get("version", [""])[0]))
    for where, own, number in told:
        # InvalidVersion is a ValueError. What is not said at all, as in an empty METADATA, contradicts nothing.
        if (own and canonicalize_name(own) != name) or (number and Version(number.replace("_", "-")) != version):
            raise ValueError(f"it is {name} {version} by its name, and {own} {number} by its {where}")


def _reading(inside: Mapping[str, Inside], info: str, python: str) -> Reading:
    if f"{info}/WHEEL" not in inside:
        raise ValueError(f"it has no {info}/WHEEL")
    told = _headers(inside[f"{info}/WHEEL"].data)
    if told.get("wheel-version", [""])[0].partition(".")[0] != "1":
        raise ValueError(f"its wheel version is {told.get('wheel-version', ['missing'])[0]}, and 1.x is known")
    metadata = _headers(inside[f"{info}/METADATA"].data) if f"{info}/METADATA" in inside else {}
    rewrites = _rewrites(info, python)
    skip = [f"{info}/{name}" for name in _DROPPED if f"{info}/{name}" in inside]
    written = list(_scripts(inside, info, skip))
    written.append(Written(f"{site_packages(python)}/{info}/INSTALLER", INSTALLER))
    places = {name: _placed(name, rewrites, python) for name in inside if name not in skip}
    names = (*(each.path for each in written), f"{site_packages(python)}/{info}/RECORD")
    _demand_apart([*((name, path) for name, path in places.items()), *(("what is generated", path) for path in names)])
    placed = {path: inside[name] for name, path in places.items()}
    rows = {path: (found.digest, found.size) for path, found in placed.items()}
    rows |= {each.path: (_base64(hashlib.sha256(each.data).digest()), len(each.data)) for each in written}
    record = Written(f"{site_packages(python)}/{info}/RECORD", _record(rows, info, python))
    files = {path: digest for path, (digest, _) in sorted(rows.items())} | {
        record.path: _base64(hashlib.sha256(record.data).digest())
    }
    used = tuple(each for each in rewrites if any(name.startswith(each.source + "/") for name in inside))
    version = metadata.get("version", [""])[0]
    tags = tuple(told.get("tag", ()))
    native = {path: found.native for path, found in placed.items() if found.native}
    return Reading(files, tuple(sorted(skip)), used, (*written, record), version, tags, license_of(metadata), native)


def _demand_apart(placed: Sequence[tuple[str, str]]) -> None:
    """Raise ValueError for files, by what each is and where it goes, of which two cannot both be there."""
    owners: dict[str, str] = {}
    wrong = []
    for name, path in placed:
        if path in owners:
            wrong.append(f"{owners[path]} and {name} both become {path}")
        elif _UNDER_BYTECODE.search(path):
            wrong.append(f"{name} is where the bytecode of modules goes")
        owners.setdefault(path, name)
    wrong += listing.stacked(owners)
    if wrong:
        raise ValueError(faults("its files", wrong))


def _headers(data: bytes) -> dict[str, list[str]]:
    """The headers of WHEEL or METADATA, by lower-case name, in order."""
    found: dict[str, list[str]] = {}
    for line in data.decode().splitlines():
        if not line.strip():
            break
        name, _, value = line.partition(":")
        found.setdefault(name.strip().lower(), []).append(value.strip())
    return found


def license_of(metadata: Mapping[str, Sequence[str]]) -> str:
    """What a package's metadata says of its licence (core metadata specification), an SPDX expression if it can be.

    `License` may hold a whole text, of which only the first line is seen here: then the classifiers tell more.
    """
    expression, words = (metadata.get(name, [""])[0] for name in ("license-expression", "license"))
    if expression or (words and len(words) <= _LONGEST_LICENSE and words.upper() != "UNKNOWN"):
        return expression or words
    said = [each for each in metadata.get("classifier", ()) if each.startswith("License ::")]
    names = dict.fromkeys(each.rpartition("::")[2].strip() for each in said)
    known = [_LICENSES.get(name, name) for name in names if name != "OSI Approved"]
    return " OR ".join(known) if all(each in _LICENSES.values() for each in known) else ", ".join(known)


def _rewrites(info: str, python: str) -> tuple[Rewrite, ...]:
    """Where the schemes of the `.data` folder go."""
    from packaging.utils import canonicalize_name

    data = info.removesuffix(".dist-info") + ".data"
    name = canonicalize_name(data.rpartition("-")[0])
    site = f"{VENV}/{site_packages(python)}"
    return (
        Rewrite(f"{data}/purelib", site),
        Rewrite(f"{data}/platlib", site),
        Rewrite(f"{data}/scripts", f"{VENV}/bin", 0o755),
        Rewrite(f"{data}/headers", f"{VENV}/include/site/python{python}/{name}"),
        Rewrite(f"{data}/data", VENV),
    )


def _scripts(inside: Mapping[str, Inside], info: str, skip: list[str]) -> Iterator[Written]:
    """Generated scripts, and the wheel's own whose shebang is ours to write; those are added to `skip`."""
    prefix = info.removesuffix(".dist-info") + ".data/scripts/"
    listed = inside.get(f"{info}/entry_points.txt")
    generated = scripts.generate(listed.data.decode()) if listed else {}
    for name, found in inside.items():
        # Old wheels hold a script of their own beside an entry point of that name, which then wins, as in pip.
        is_double = name.startswith(prefix) and name.removeprefix(prefix) in generated
        script = scripts.shebang(found.data) if name.startswith(prefix) else None
        if script is not None or is_double:
            skip.append(name)
        if script is not None and not is_double:
            yield Written(f"bin/{name.removeprefix(prefix)}", script, 0o755)
    for name, data in sorted(generated.items()):
        yield Written(f"bin/{name}", data, 0o755)


def _placed(name: str, rewrites: tuple[Rewrite, ...], python: str) -> str:
    for rewrite in rewrites:
        if name.startswith(rewrite.source + "/"):
            return posixpath.relpath(f"{rewrite.target}/{name.removeprefix(rewrite.source + '/')}", VENV)
    folder = name.partition("/")[0]
    if folder.endswith(".data") and folder == rewrites[0].source.partition("/")[0]:
        raise ValueError(f"{name} is of no scheme that is known")
    return f"{site_packages(python)}/{name}"


def _record(rows: Mapping[str, tuple[str, int]], info: str, python: str) -> bytes:
    """RECORD: every file that is there, by its path from site-packages."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    site = site_packages(python)
    listed = [(posixpath.relpath(path, site), f"sha256={digest}", str(size)) for path, (digest, size) in rows.items()]
    writer.writerows(sorted([*listed, (f"{info}/RECORD", "", "")]))
    return text.getvalue().encode()
