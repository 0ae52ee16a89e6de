"""The bundle: one sealed file that holds a service and all it needs, format 1 of docs/bundle-format.md.

Sealing writes it whole or not at all; opening verifies every byte before anything in it is believed.
"""

import io
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import IO, TYPE_CHECKING

import msgspec

from cdaf import assets, atomic, progress, versions
from cdaf.bundles import check, rules, zipform, zipread, zipwrite
from cdaf.bundles import manifest as manifests
from cdaf.bundles.manifest import Manifest
from cdaf.bundles.rules import LAUNCHER, MANIFEST, OWN, PLAN, SUMS
from cdaf.bundles.zipwrite import Digest, Source
from cdaf.errors import BundleError, ProjectError, UsageError, faults
from cdaf.images import plan
from cdaf.images.content import stamp as stamp_of
from cdaf.images.plan import Plans

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_HINT = "package the service again"
_CHUNK = 1 << 18
_NAMED = 5  # bundles of a folder that a hint names


class Member(msgspec.Struct, frozen=True):
    """One file of a bundle: `size` bytes from `offset` on, and their hex SHA-256."""

    name: str
    offset: int
    size: int
    sha256: str


class Bundle(msgspec.Struct, frozen=True):
    """A verified bundle; `identity` is `sha256:` and the SHA-256 of its SHA256SUMS, `stamp` the file as verified."""

    path: Path
    identity: str
    manifest: Manifest
    plans: Plans
    members: dict[str, Member]
    stamp: tuple[int, ...]


def seal(
    into: Path,
    manifest: Manifest,
    plans: Plans,
    content: Mapping[str, Source],
    expected: Mapping[str, str] = MappingProxyType({}),
    confirm: Callable[[], None] = lambda: None,
) -> Bundle:
    """Write `<name>-<version>.cdaf` to the folder `into`, whole or not at all, and return it as `open` would.

    `content` maps members' names to their bytes or to the file that holds them; the bundle's own four files are added.
    `expected` holds the hex SHA-256 of members that the caller has read before, and which must not have changed since.
    `confirm` is called when all is written but the name: what it raises leaves no bundle.
    Raises ProjectError that lists every name or file that cannot be sealed, BundleError when manifest or plans speak
    of members that are not there, a transient CdafError when the disk is full.
    """
    path = into / _file_name(manifest)
    sources: dict[str, Source] = {
        **content,
        LAUNCHER: assets.launcher(),
        MANIFEST: manifests.encode(manifest),
        PLAN: plan.encode(plans),
    }
    taken = [f"{name}: the bundle has its own" for name in OWN if name in content]
    if wrong := [*taken, *zipform.name_faults([*sources, SUMS]), *rules.place_faults(sources)]:
        raise ProjectError(faults("names that a bundle cannot hold", wrong), "rename the files or leave them out")
    if wrong := rules.reference_faults(manifest, plans, sources):
        raise BundleError(faults(f"{path.name} cannot be sealed", wrong), "report this as a fault of cdaf")
    sizes = zipwrite.sizes(sources)
    entries = zipform.place({**sizes, SUMS: len(rules.encode_sums(dict.fromkeys(sizes, "0" * 64)))})
    if zipform.is_zip64(entries):
        _warn_of_zip64(path)
    with atomic.writing(path) as file:
        digests = _write(file, entries, sources, manifest, expected)
        stamp = stamp_of(file)
        confirm()
    members = {entry.name: Member(entry.name, entry.data, entry.size, digests[entry.name].sha256) for entry in entries}
    return Bundle(path, f"sha256:{digests[SUMS].sha256}", manifest, plans, members, stamp)


def open(path: Path) -> Bundle:
    """Read a bundle after verifying all of it; nothing is written.

    Raises BundleError that lists every fault, UsageError when there is no such file.
    """
    with _opened(path) as file:
        try:
            facts = os.fstat(file)
            if not stat.S_ISREG(facts.st_mode):
                raise BundleError(f"{path}: not a regular file", hint_of(path))
            return _verified(path, file, facts.st_size)
        except OSError as error:
            raise BundleError(f"{path}: cannot be read: {error.strerror}", "check the disk that it lies on") from error


def hint_of(folder: Path) -> str:
    """What to name instead of a folder: a bundle in it, or in the `dist` of a project."""
    found = sorted(folder.glob("*.cdaf")) or sorted(folder.glob("dist/*.cdaf"))
    more = f" or one of {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"name a bundle: {', '.join(map(str, found[:_NAMED]))}{more}" if found else "name a .cdaf file"


def listing_name(platform: str) -> str:
    """The member that lists what the layers of a platform's image hold."""
    return f"generated/listings/{platform.replace('/', '-')}.jsonl"


def data(bundle: Bundle, name: str) -> bytes:
    """A member's bytes. Raises BundleError when there is no such member or the file changed since it was verified."""
    with stream(bundle, name) as file:
        return file.read()


def stream(bundle: Bundle, name: str) -> IO[bytes]:
    """A member as a seekable file for reading, with a handle of its own; raises as `data` does."""
    member = bundle.members.get(name)
    if member is None:
        raise BundleError(f"{bundle.path}: no member {zipform.shown(name)}", _HINT)
    with _opened(bundle.path) as file:
        if stamp_of(file) != bundle.stamp:
            raise _changed(bundle.path)
        return io.BufferedReader(_Slice(os.dup(file), member, bundle.path), _CHUNK)


class _Slice(io.RawIOBase):
    """The bytes of one member."""

    def __init__(self, file: int, member: Member, path: Path) -> None:
        self._file, self._member, self._path, self._at = file, member, path, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._member.size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative seek position {start + offset}")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(0, self._member.size - self._at))
        got = os.preadv(self._file, [view[:wanted]], self._member.offset + self._at) if wanted else 0
        if wanted and not got:
            raise _changed(self._path)
        self._at += got
        return got

    def readall(self) -> bytes:
        wanted = max(0, self._member.size - self._at)
        found = zipread.read(self._file, self._member.offset + self._at, wanted)
        if len(found) != wanted:
            raise _changed(self._path)
        self._at += wanted
        return found

    def close(self) -> None:
        if not self.closed:
            os.close(self._file)
        super().close()


def _changed(path: Path) -> BundleError:
    return BundleError(f"{path}: changed since it was verified", "start again when nothing writes to it")


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        # Without O_NONBLOCK a named pipe would wait for its writer for ever.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "name a .cdaf file") from error
    try:
        yield file
    finally:
        os.close(file)


def _file_name(manifest: Manifest) -> str:
    name = f"{manifest.service.name}-{versions.parse(manifest.service.version).file}.cdaf"
    if zipform.name_faults([name]) or "/" in name:
        raise ProjectError(f"{zipform.shown(name)} cannot be a file's name", "choose another name or version")
    return name


def _warn_of_zip64(path: Path) -> None:
    program = "import sys,zipfile;exec(zipfile.ZipFile(sys.argv[1]).read('__main__.py'))"
    progress.warn(
        f"{path.name} needs zip64, and Python below 3.13 cannot run such a file; "
        f'there, start its launcher with: python3 -c "{program}" {path.name} verify'
    )


def _write(
    file: int,
    entries: Sequence[zipform.Entry],
    sources: Mapping[str, Source],
    manifest: Manifest,
    expected: Mapping[str, str],
) -> dict[str, Digest]:
    # SHA256SUMS sorts before most of what it lists: its size is known from the start, its bytes only at the end.
    others = [entry for entry in entries if entry.name != SUMS]
    with progress.transfer("seal", sum(entry.size for entry in others)) as advance:
        digests = zipwrite.fill(file, others, sources, _one_at_a_time(advance))
    known = {name: digest.sha256 for name, digest in digests.items()}
    if changed := [zipform.shown(name) for name, sha256 in expected.items() if known.get(name, sha256) != sha256]:
        raise ProjectError(
            faults("files changed while they were packaged", changed), "package again when nothing changes them"
        )
    if wrong := rules.archive_faults(manifest, known):
        raise BundleError(faults("archives are not what the manifest says", wrong), "empty the cache and package again")
    own = [entry for entry in entries if entry.name == SUMS]
    digests |= zipwrite.fill(file, own, {SUMS: rules.encode_sums(known)}, lambda _: None)
    complete = [entry._replace(crc=digests[entry.name].crc) for entry in entries]
    zipwrite.write_all(file, zipform.index(complete), complete[-1].end)
    return digests


def _one_at_a_time(advance: Callable[[int], None]) -> Callable[[int], None]:
    lock = Lock()

    def moved(count: int) -> None:
        with lock:
            advance(count)

    return moved


def _verified(path: Path, file: int, size: int) -> Bundle:
    found = check.check(file, size)
    if not isinstance(found, check.Intact):
        raise BundleError(faults(f"{path} is not an intact bundle", list(found.faults)), found.hint)
    members = {one.name: Member(one.name, one.data, one.size, sha256) for one, sha256 in found.members}
    return Bundle(path, f"sha256:{members[SUMS].sha256}", found.manifest, found.plans, members, stamp_of(file))
