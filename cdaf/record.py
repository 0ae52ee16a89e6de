"""The release record: what was tested and where it went, by digest, beside the bundle; the journal of publishing too.

It is written anew after each step, so what a killed run had done is in it. It proves nothing against forgery.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec

from cdaf import atomic, progress, toml, typed, versions
from cdaf.bundles.bundle import Bundle
from cdaf.bundles.manifest import Manifest
from cdaf.errors import PublishError, UsageError, faults
from cdaf.images import oci
from cdaf.images.oci import Image
from cdaf.targets import Publication

State = Literal["passed", "emulated", "not run", "failed"]
_ELSEWHERE = "name another place with --record"
_TESTED = frozenset({"passed", "emulated"})
_WEIGHT: Mapping[State, int] = {"not run": 0, "emulated": 1, "passed": 2, "failed": 3}


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A table of the record."""


class Built(Table, frozen=True, kw_only=True):
    """The image of one platform: its manifest's digest, and the id that engines know it by."""

    platform: str
    digest: str
    config: str


class Tested(Table, frozen=True, kw_only=True):
    """The smoke test of one platform's image; `report` is relative to the record, the digests are of its two files."""

    platform: str
    digest: str
    state: State
    report: str = ""
    report_digest: str = ""
    junit_digest: str = ""


class Published(Table, frozen=True, kw_only=True):
    """What one target has; `present` when it had all of it before."""

    target: str
    reference: str
    digest: str
    tags: tuple[str, ...] = ()
    state: Literal["created", "present"]


class Record(Table, frozen=True, kw_only=True):
    """The whole record; `digest` is what releases publish: the index's, or the manifest's of a single platform."""

    format: int = 1
    bundle: str
    name: str
    version: str
    digest: str = ""
    images: tuple[Built, ...] = ()
    smoke: tuple[Tested, ...] = ()
    publications: tuple[Published, ...] = ()


def path(bundle: Bundle, chosen: Path | None = None) -> Path:
    """Where a bundle's record lies: beside it, or where the user wants it (a folder or a file)."""
    version = versions.parse(bundle.manifest.service.version).file
    name = f"{bundle.manifest.service.name}-{version}.release.toml"
    if chosen is None:
        return bundle.path.parent / name
    return chosen / name if chosen.is_dir() else chosen


def start(place: Path, bundle: Bundle, images: Sequence[Image]) -> Record:
    """The bundle's record with these images: what `place` has of it, else a new one, and nothing is written yet.

    A record of another bundle stays when that was published, since nothing else tells where; it is given up when it
    was not, or when this bundle is of a dirty tree, whose every change has the same name. Raises PublishError.
    """
    found = read(place)
    if found is not None and found.bundle != bundle.identity:
        if found.publications and not bundle.manifest.source.dirty:
            raise PublishError(
                f"{place} is the record of another bundle ({found.bundle}), which was published",
                "move it away, or name another file by --record",
            )
        found = None
    service = bundle.manifest.service
    fresh = Record(bundle=bundle.identity, name=service.name, version=service.version)
    built = tuple(Built(platform=i.platform, digest=i.digest, config=i.config_digest) for i in images)
    kept = found or fresh
    digest = oci.published(images)[2] if images else ""
    return _with(kept, digest=digest, images=_merged(kept.images, built), smoke=_of_images(kept.smoke, built))


def tested(record: Record, results: Sequence[Tested]) -> Record:
    """The record with the results of smoke tests, in place of earlier ones of the same platforms.

    That a test was not run here takes nothing from one of the same image that was run elsewhere.
    """
    known = {(each.platform, each.digest) for each in record.smoke}
    new = [each for each in results if each.state != "not run" or (each.platform, each.digest) not in known]
    return _with(record, smoke=_merged(record.smoke, new))


def published(record: Record, publications: Sequence[Publication]) -> Record:
    """The record with what targets have now; a target's earlier entry of the same digest gives way."""
    new = {
        (each.target, each.digest): Published(
            target=each.target, reference=each.reference, digest=each.digest, tags=each.tags, state=each.state
        )
        for each in publications
        if each.state != "planned"
    }
    kept = [each for each in record.publications if (each.target, each.digest) not in new]
    return _with(record, publications=(*kept, *new.values()))


def refuse_untested(record: Record, images: Sequence[Image], manifest: Manifest) -> None:
    """Raise PublishError unless every image passed its smoke test, or the manifest lets its platform go without.

    A failed test is never let go. Says on the way which platforms go untested.
    """
    wrong = []
    for image in images:
        state = _state(record, image)
        if state in _TESTED:
            continue
        if state == "not run" and image.platform in manifest.smoke.declared.untested:
            progress.warn(f"{image.platform} is published without a smoke test, as [smoke] untested says")
        else:
            wrong.append(f"{image.platform}: its smoke test {'failed' if state == 'failed' else 'was not run'}")
    if wrong:
        failed = any(_state(record, image) == "failed" for image in images)
        hint = "run `cdaf smoke` on a machine of that platform, or name it in [smoke] untested"
        hint = "read its report, mend what failed, and run `cdaf smoke` again" if failed else hint
        raise PublishError(faults(f"{record.name} {record.version} is not tested", wrong), hint)


def join(one: Record, other: Record) -> Record:
    """Two records of one bundle, from two machines, as one; a platform's failed test outweighs a passed one.

    Raises UsageError when they are of different bundles, or their images differ.
    """
    if one.bundle != other.bundle:
        raise UsageError(
            f"the records are of different bundles: {one.bundle} and {other.bundle}", "join records of one"
        )
    images = {each.platform: each for each in one.images}
    differ = [each.platform for each in other.images if images.get(each.platform, each) != each]
    if differ:
        raise UsageError(
            f"the records have different images for {', '.join(differ)}", "use one version of cdaf for both"
        )
    smoke = {each.platform: each for each in one.smoke}
    for each in other.smoke:
        mine = smoke.get(each.platform)
        smoke[each.platform] = each if mine is None or _WEIGHT[each.state] > _WEIGHT[mine.state] else mine
    joined = _merged(one.images, other.images)
    digest = one.digest if len(one.images) >= len(other.images) else other.digest
    listed = {(each.target, each.digest) for each in one.publications}
    added = tuple(each for each in other.publications if (each.target, each.digest) not in listed)
    return _with(
        one,
        images=joined,
        digest=digest if len(joined) == max(len(one.images), len(other.images)) else "",
        smoke=tuple(smoke[platform] for platform in sorted(smoke)),
        publications=(*one.publications, *added),
    )


def read(place: Path) -> Record | None:
    """The record at a path, None when there is none. Raises UsageError when the file is something else."""
    try:
        data = toml.decode(place.read_bytes())
        if data.get("format") != 1:
            raise UsageError(f"{place}: format {data.get('format')!r}, and this cdaf reads format 1", "upgrade cdaf")
        return typed.convert(data, Record)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, msgspec.ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{place} is not a release record: {reason}", "move it away") from error


def write(record: Record, place: Path) -> None:
    """Write the record, whole or not at all; what another release of the bundle has entered as published stays.

    Raises UsageError when it cannot be written.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _alone(place.parent):
            data = encode(_with_others(record, place))
            with atomic.writing(place) as file:
                os.write(file, data)
    except OSError as error:
        raise UsageError(f"{place} cannot be written: {error.strerror or error}", _ELSEWHERE) from error
    except UsageError as error:
        raise UsageError(error.message, _ELSEWHERE) from error


def _with_others(record: Record, place: Path) -> Record:
    found = read(place)
    if found is None or found.bundle != record.bundle:
        return record
    own = {(each.target, each.digest) for each in record.publications}
    others = tuple(each for each in found.publications if (each.target, each.digest) not in own)
    return _with(record, publications=(*others, *record.publications))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two releases that enter something do so one after the other."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # A file system without locks leaves the writers to their luck.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def encode(record: Record) -> bytes:
    """The record's TOML: `format` first, the types' own order, no clock and no machine's name."""
    import tomli_w

    data = msgspec.to_builtins(record, str_keys=True)
    return tomli_w.dumps({"format": 1, **data}).encode()


def _with(record: Record, **changes: object) -> Record:
    return msgspec.structs.replace(record, **changes)


def _merged(old: Sequence[Table], new: Sequence[Table]) -> tuple[Table, ...]:
    found = {getattr(each, "platform", ""): each for each in (*old, *new)}
    return tuple(found[platform] for platform in sorted(found))


def _of_images(smoke: Sequence[Tested], built: Sequence[Built]) -> tuple[Tested, ...]:
    """Results whose image is still the platform's; a test of other bytes says nothing."""
    digests = {each.platform: each.digest for each in built}
    return tuple(each for each in smoke if digests.get(each.platform, each.digest) == each.digest)


def _state(record: Record, image: Image) -> State:
    found = (each.state for each in record.smoke if (each.platform, each.digest) == (image.platform, image.digest))
    return next(found, "not run")
