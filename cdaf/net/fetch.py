"""Parallel, resumable downloads into the store, each verified against the hash that a lock names."""

import fcntl
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec

from cdaf import places, progress, store
from cdaf.errors import CdafError, ResolveError, faults
from cdaf.net import http, transfers

KIND = "archives"
CONNECTIONS = 8
_ATTEMPTS = 3
_CHUNK = 1 << 20
_LOGIN = "give them by netrc, the keyring, or UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD"
_SHOWN = 120

T = TypeVar("T")
Headers = Callable[[str], Mapping[str, str]]  # the headers, credentials above all, for a URL


class Want(msgspec.Struct, frozen=True):
    """An archive that a lock names.

    `url` is http(s), `file:` or an absolute path; `hashes` are lower-case hex by hashlib's name, the first counts.
    One without hashes can only be read, by `chunks`.
    """

    name: str  # for messages: "flask 3.1.3"
    url: str
    hashes: dict[str, str]
    size: int | None = None
    login: str = _LOGIN  # the hint for who is refused


class Got(msgspec.Struct, frozen=True):
    """An archive in the store."""

    want: Want
    sha256: str
    path: Path


def fetch(
    wants: Sequence[Want], headers: Headers = lambda _: {}, each: Callable[[Got], None] = lambda _: None
) -> dict[str, Got]:
    """Bring every archive into the store, and call `each` for one as soon as it is there (on a worker's thread).

    The result is by URL. Raises ResolveError with every archive that cannot be had as its lock says, or a transient
    error when trying again may help.
    """
    _demand_addresses(wants)
    unique = {want.url: want for want in wants}

    def there(want: Want) -> Got | None:
        got = present(want)
        if got is not None:
            each(got)
        return got

    def missing(want: Want, moved: Callable[[int], None]) -> Got:
        got = _download(want, headers, moved)
        each(got)
        return got

    with transfers.workers(CONNECTIONS) as pool:
        found = _gathered({url: pool.submit(there, want) for url, want in unique.items()})
        have = {url: got for url, got in found.items() if got is not None}
        absent = [want for url, want in unique.items() if url not in have]
        if absent:
            with _counted(absent) as moved:
                have |= _gathered({want.url: pool.submit(missing, want, moved) for want in absent})
    return {url: have[url] for url in unique}


def _gathered(running: Mapping[str, "Future[T]"]) -> dict[str, T]:
    """Every result, or one error that tells all faults."""
    found: list[CdafError] = []
    results: dict[str, T] = {}
    for url, future in running.items():
        try:
            results[url] = future.result()
        except CdafError as error:
            found.append(error)
    lasting = [error for error in found if not error.transient] or found
    if not lasting:
        return results
    first = lasting[0]
    if len(lasting) == 1 and isinstance(first, ResolveError):
        raise first
    messages = list(dict.fromkeys(error.message for error in lasting))
    message = first.message if len(messages) == 1 else faults("archives", messages)
    raise ResolveError(message, first.hint, first.output, transient=first.transient)


def chunks(want: Want, headers: Headers = lambda _: {}) -> Iterator[bytes]:
    """The bytes of an archive whose hash nobody knows yet. Raises as `fetch` does."""
    _demand_addresses([want])
    local = _local(want.url)
    if local is not None:
        yield from _file(want, local, 0)
        return
    response = http.get(want.url, {**headers(want.url), "Accept-Encoding": "identity"})
    if response.status != 200:
        raise _answered(want, response)
    yield from http.stream(response)


def present(want: Want) -> Got | None:
    """The archive, if the store has it and its bytes are still the right ones."""
    algorithm, value = _named(want)
    sha256 = value if algorithm == "sha256" else (store.recall("aliases", _alias(algorithm, value)) or b"").decode()
    path = store.checked(KIND, sha256) if sha256 else None
    return Got(want, sha256, path) if path else None


def _named(want: Want) -> tuple[str, str]:
    for algorithm, value in want.hashes.items():
        return algorithm, value
    raise ResolveError(f"{want.name} has no hash in its lock", "lock it again from an index that serves hashes")


def _alias(algorithm: str, value: str) -> str:
    return hashlib.sha256(f"{algorithm}:{value}".encode()).hexdigest()


@contextmanager
def _counted(wants: Sequence[Want]) -> Iterator[Callable[[int], None]]:
    """The transfer's progress, safe for threads; its total is known when every size is."""
    sizes = [want.size for want in wants]
    total = sum(size or 0 for size in sizes) if all(sizes) else None
    lock = threading.Lock()
    with progress.transfer("dependencies", total) as advance:

        def moved(count: int) -> None:
            with lock:
                advance(count)

        yield moved


def _download(want: Want, headers: Headers, moved: Callable[[int], None]) -> Got:
    """Fetch one archive, while no other thread or process fetches the same."""
    algorithm, value = _named(want)
    with _partial(algorithm, value) as (part, path):
        known = present(want)
        if known is not None:
            path.unlink(missing_ok=True)
            return known
        served = _filled(want, headers, part, moved)
        if served[algorithm] != value:
            path.unlink(missing_ok=True)
            raise ResolveError(
                f"hash mismatch for {want.name}: the lock says {algorithm}:{value}, "
                f"{http.clean(want.url)} served {algorithm}:{served[algorithm]}",
                "find out who changed it; if the change is wanted, lock again",
            )
        kept = store.keep(path, KIND, served["sha256"])
    if algorithm != "sha256":
        store.remember("aliases", _alias(algorithm, value), served["sha256"].encode())
    return Got(want, served["sha256"], kept)


@contextmanager
def _partial(algorithm: str, value: str) -> Iterator[tuple[IO[bytes], Path]]:
    """The archive's partial file, locked: what is there of it from an earlier run counts."""
    path = places.cache() / KIND / "partial" / f"{algorithm}-{value}"
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+b") as part:
            fcntl.flock(part, fcntl.LOCK_EX)
            if _is_at(part, path):
                yield part, path
                return


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether the file is still the one of that name: its last owner may have moved it to its place."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _filled(want: Want, headers: Headers, part: IO[bytes], moved: Callable[[int], None]) -> dict[str, str]:
    """Bring the partial file to its end and return its digests; what an earlier run left may be damaged, so that a
    wrong whole is fetched once more from the start."""
    algorithm, value = _named(want)
    for resumes in (True, False):
        started = part.seek(0, os.SEEK_END) if resumes else part.truncate(0)
        digests = _digests(part, algorithm)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                for chunk in _chunks(want, headers, part, digests):
                    transfers.check()
                    moved(len(chunk))
                break
            except CdafError as error:
                if not error.transient or attempt == _ATTEMPTS:
                    raise
        part.flush()
        found = {name: digest.hexdigest() for name, digest in digests.items()}
        if not started or found[algorithm] == value:
            break
    return found


def _digests(part: IO[bytes], algorithm: str) -> "dict[str, hashlib._Hash]":
    digests = {name: hashlib.new(name) for name in dict.fromkeys(("sha256", algorithm))}
    part.seek(0)
    while chunk := part.read(_CHUNK):
        for digest in digests.values():
            digest.update(chunk)
    return digests


def _chunks(want: Want, headers: Headers, part: IO[bytes], digests: "dict[str, hashlib._Hash]") -> Iterator[bytes]:
    """Append what is missing, each piece counted in the digests once it is written."""
    for chunk in _source(want, headers, part, digests):
        part.write(chunk)
        for digest in digests.values():
            digest.update(chunk)
        yield chunk


def _source(want: Want, headers: Headers, part: IO[bytes], digests: "dict[str, hashlib._Hash]") -> Iterator[bytes]:
    have = part.seek(0, os.SEEK_END)
    local = _local(want.url)
    if local is not None:
        yield from _file(want, local, have)
        return
    asked = {**headers(want.url), "Accept-Encoding": "identity"}
    if have:
        asked["Range"] = f"bytes={have}-"
    response = http.get(want.url, asked)
    if response.status == 416 and have:
        # Nothing is missing, or the partial file is not of this archive; its hash tells which.
        http.close(response)
        return
    if response.status == 206 and not _continues(response, have):
        http.close(response)
        raise CdafError(f"{http.clean(want.url)} served another range than it was asked for", transient=True)
    if response.status == 200:
        part.truncate(0)
        part.seek(0)
        digests.update({name: hashlib.new(name) for name in digests})
    elif response.status != 206:
        raise _answered(want, response)
    yield from http.stream(response)


def _continues(response: http.Response, have: int) -> bool:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return found is not None and int(found[1]) == have


def _answered(want: Want, response: http.Response) -> CdafError:
    status = response.status
    http.close(response)
    place = http.clean(want.url)
    if status in (401, 403):
        return ResolveError(
            f"{want.name}: {place} answered {status}: it wants other credentials",
            want.login,
        )
    return ResolveError(f"{want.name}: {place} answered {status}", "lock again: the index has it no longer")


def _demand_addresses(wants: Sequence[Want]) -> None:
    wrong = [f"{want.name}: {want.url[:_SHOWN]!r} is no address" for want in wants if not _is_address(want.url)]
    if wrong:
        raise ResolveError(faults("archives", wrong) if len(wrong) > 1 else wrong[0], "lock again")


def _is_address(url: str) -> bool:
    try:
        return not re.search(r"[\x00-\x1f\x7f]", url) and urlsplit(url).port is not False
    except ValueError:
        return False


def _local(url: str) -> Path | None:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(url) if url.startswith("/") else None


def _file(want: Want, path: Path, have: int) -> Iterator[bytes]:
    if path.exists() and not path.is_file():
        raise ResolveError(f"{want.name}: {path} is no regular file", "put it back, or lock again")
    try:
        with path.open("rb") as file:
            file.seek(have)
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise ResolveError(
            f"{want.name}: {path} cannot be read: {error.strerror}", "put it back, or lock again"
        ) from error
