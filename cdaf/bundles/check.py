"""Verifies a bundle: every byte of the file, before anything in it is believed."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import NamedTuple, TypeVar

import deflate

from cdaf.bundles import manifest as manifests
from cdaf.bundles import rules, zipform, zipread
from cdaf.bundles.manifest import Manifest
from cdaf.bundles.rules import MANIFEST, OWN, PLAN, SUMS
from cdaf.bundles.zipread import Found
from cdaf.bundles.zipwrite import Digest
from cdaf.errors import BundleError
from cdaf.images import plan
from cdaf.images.plan import Plans

_T = TypeVar("_T")
_HINT = "package the service again"
_CHUNK = 1 << 18
_WORTH_THREADS = 1 << 23
_THREADS = min(4, os.cpu_count() or 1)


class Intact(NamedTuple):
    """What a file without faults holds; members come with their hex SHA-256, in the file's order."""

    manifest: Manifest
    plans: Plans
    members: tuple[tuple[Found, str], ...]


class Damaged(NamedTuple):
    """All that is wrong with a file, and the one thing to do about it."""

    faults: tuple[str, ...]
    hint: str


def check(file: int, size: int) -> Intact | Damaged:
    """Verify a file of `size` bytes, open for reading. Raises OSError when it cannot be read."""
    index = zipread.read_index(file, size)
    digests = _hash_all(file, index.members)
    known = {member.name: member for member in index.members}
    hashes = {member.name: digest.sha256 for member, digest in zip(index.members, digests, strict=True)}
    listed, wrong = _listed(file, known.get(SUMS))
    wrong = [*index.faults, *wrong, *_content_faults(index, digests, listed)]
    errors: list[BundleError] = []
    # What changed is told as that; what it says now is of no use to anyone.
    intact = {name: member for name, member in known.items() if listed.get(name, hashes[name]) == hashes[name]}
    manifest = _decoded(file, intact.get(MANIFEST), manifests.decode, manifests.encode, errors)
    plans = _decoded(file, intact.get(PLAN), plan.decode, plan.encode, errors)
    wrong += [error.message for error in errors]
    if manifest and plans:
        wrong += rules.reference_faults(manifest, plans, known) + rules.archive_faults(manifest, hashes)
        wrong += rules.form_faults(manifest, plans)
        wrong += rules.image_faults(manifest, lambda name: _bytes(file, intact.get(name)), known)
    if wrong or manifest is None or plans is None:
        return Damaged(tuple(dict.fromkeys(wrong)), next((error.hint for error in errors), _HINT))
    return Intact(manifest, plans, tuple((member, hashes[member.name]) for member in index.members))


def _hash_all(file: int, members: Sequence[Found]) -> list[Digest]:
    stop = Event()
    if sum(member.size for member in members) < _WORTH_THREADS:
        return [_hash(file, member, stop) for member in members]
    largest_first = sorted(range(len(members)), key=lambda place: -members[place].size)
    with ThreadPoolExecutor(_THREADS, "cdaf-verify") as pool:
        try:
            done = pool.map(lambda place: _hash(file, members[place], stop), largest_first)
            found = dict(zip(largest_first, done, strict=True))
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    return [found[place] for place in range(len(members))]


def _hash(file: int, member: Found, stop: Event) -> Digest:
    sha256, crc, at, end = hashlib.sha256(), 0, member.data, member.data + member.size
    buffer = memoryview(bytearray(min(_CHUNK, member.size)))
    while at < end and not stop.is_set():
        got = os.preadv(file, [buffer[: end - at]], at)
        if not got:
            break
        sha256.update(buffer[:got])
        crc = deflate.crc32(buffer[:got], crc)
        at += got
    return Digest(sha256.hexdigest(), crc)


def _listed(file: int, sums: Found | None) -> tuple[dict[str, str], list[str]]:
    return rules.decode_sums(zipread.read(file, sums.data, sums.size)) if sums else ({}, [])


def _content_faults(index: zipread.Index, digests: Sequence[Digest], listed: Mapping[str, str]) -> list[str]:
    """What is wrong with the members' bytes, beside what is wrong with the zip."""
    if index.faults and not index.members:
        return []
    names = [member.name for member in index.members]
    wrong = [f"{name}: missing" for name in OWN if name not in names] + rules.place_faults(names)
    if SUMS in names:
        pairs = zip(names, digests, strict=True)
        wrong += rules.sums_faults(listed, [(name, digest.sha256) for name, digest in pairs if name != SUMS])
    return wrong + [
        f"{zipform.shown(member.name)}: its headers have another CRC-32 than its bytes"
        for member, digest in zip(index.members, digests, strict=True)
        if member.crc != digest.crc and listed.get(member.name, digest.sha256) == digest.sha256
    ]


def _bytes(file: int, member: Found | None) -> bytes | None:
    return zipread.read(file, member.data, member.size) if member else None


def _decoded(
    file: int,
    member: Found | None,
    decode: Callable[[bytes], _T],
    encode: Callable[[_T], bytes],
    wrong: list[BundleError],
) -> _T | None:
    if member is None:
        return None
    raw = zipread.read(file, member.data, member.size)
    try:
        value = decode(raw)
        if encode(value) != raw:
            wrong.append(BundleError(f"{member.name}: not in canonical form", _HINT))
        return value
    except BundleError as error:
        wrong.append(error)
    # Numbers of thousands of digits and thousands of brackets end in these, in msgspec and tomllib alike.
    except (ValueError, RecursionError) as error:
        wrong.append(BundleError(f"{member.name}: {error}", _HINT))
    return None
