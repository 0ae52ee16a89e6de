"""The steps of a release, each for itself: what the single commands of CD do, and `flow.release` in one go."""

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cdaf import progress, record, targets
from cdaf.bundles.bundle import Bundle
from cdaf.bundles.manifest import Manifest
from cdaf.errors import CdafError, PublishError, UsageError
from cdaf.images import building, oci
from cdaf.images.oci import Image, Layer
from cdaf.net import transfers
from cdaf.record import Record, Tested
from cdaf.targets import Publication, Release, Target

if TYPE_CHECKING:
    from cdaf.testing.outcome import SmokeReport

_AT_ONCE = 3  # uploads to one destination


class Journal(msgspec.Struct, frozen=True):
    """The release record and the file in which it lies."""

    record: Record
    place: Path


def manifest(opened: Bundle, file: Path | None) -> Manifest:
    """The bundle's manifest, its publishing settings overridden by those of `--config FILE`."""
    if file is None:
        return opened.manifest
    from cdaf.settings import config

    publish, environments = config.overriding(file, opened.manifest.publish, opened.manifest.environments)
    return msgspec.structs.replace(opened.manifest, publish=publish, environments=environments)


def demand_testable(opened: Bundle) -> None:
    """Raise PublishError when a platform neither runs here nor may go untested: the end would be that of `publish`.

    Asks the engine, so raises EngineError where there is none.
    """
    from cdaf import engine

    allowed = opened.manifest.smoke.declared.untested
    lost = [each for each in building.chosen(opened, ()) if each not in allowed and not engine.runs(each)]
    if lost:
        raise PublishError(
            f"{', '.join(lost)}: does not run on this engine, so its smoke test cannot be run",
            "add it to [smoke] untested and package again, or release where it runs",
        )


def journal(opened: Bundle, images: Sequence[Image], chosen: Path | None) -> Journal:
    """The release record of these images, begun or gone on with; a place that cannot be written to fails here."""
    place = record.path(opened, chosen)
    begun = record.start(place, opened, images)
    record.write(begun, place)
    return Journal(begun, place)


def join(begun: Journal, others: Sequence[Path]) -> Journal:
    """The journal with what other machines tested of the same bundle. Raises UsageError for any other record."""
    done = begun.record
    for each in others:
        found = record.read(each)
        if found is None:
            raise UsageError(f"{each}: no such file", "name the release record that the other machine wrote")
        done = record.join(done, found)
    if others:
        record.write(done, begun.place)
    return Journal(done, begun.place)


def test(opened: Bundle, images: Sequence[Image], begun: Journal, *, keep: bool) -> Journal:
    """Smoke-test every image that runs here, and enter the results, a failure too.

    The report lies beside the record. Raises SmokeError when an image fails.
    """
    from cdaf.reports.report import HTML
    from cdaf.testing import smoke

    reports = begun.place.with_name(begun.place.name.removesuffix(".toml").removesuffix(".release") + ".smoke")
    entered = [begun]

    def enter(report: "SmokeReport") -> None:
        done = record.tested(begun.record, _results(report))
        record.write(done, begun.place)
        entered.append(Journal(done, begun.place))

    try:
        smoke.test(opened, images, reports, keep=keep, enter=enter)
    except CdafError as error:
        if len(entered) > 1:
            page = reports / HTML
            error.data |= {"report": str(page), "record": str(begun.place)}
            error.hint = f"{error.hint}; its report: {page}" if error.hint else f"read its report: {page}"
        raise
    return entered[-1]


def _results(report: "SmokeReport") -> list[Tested]:
    """What the record keeps of a report: states, and the files that show them, by digest."""
    from cdaf.reports.report import HTML, JUNIT

    page, junit = report.folder / HTML, report.folder / JUNIT
    return [
        Tested(
            platform=each.platform,
            digest=each.digest,
            state=each.state,
            report=f"{report.folder.name}/{HTML}",
            report_digest=oci.digest_of(page.read_bytes()),
            junit_digest=oci.digest_of(junit.read_bytes()),
        )
        for each in report.platforms
    ]


class Uploads(msgspec.Struct, frozen=True):
    """What is on its way to destinations before anything there names it; each transfer with its target."""

    bundle: Bundle
    destinations: tuple[Target, ...]
    pool: Executor
    running: list[tuple[Target, Future[None]]]


@contextmanager
def uploading(opened: Bundle, destinations: Sequence[Target]) -> Iterator[Uploads]:
    """Let blobs go up while the block makes and tests the images; manifests are not sent.

    What fails here is only noted: publishing tries it again, and tells. A block that fails ends the uploads at once.
    """
    with transfers.workers(_AT_ONCE * max(1, len(destinations)), abandoning=True) as pool:
        uploads = Uploads(opened, tuple(destinations), pool, [])
        yield uploads
        for each, upload in uploads.running:
            if (error := upload.exception()) is not None:
                progress.note(f"{each}: not all could be sent during the test: {error}")


def images(uploads: Uploads, platforms: Sequence[str] = ()) -> tuple[Image, ...]:
    """The bundle's images; bases are on their way first, each new layer when it is written, the rest at the end.

    Raises what making them does, and PublishError as `follow`.
    """
    for each in uploads.destinations:
        uploads.running.append((each, uploads.pool.submit(targets.begin, each, uploads.bundle)))
    made = building.images(uploads.bundle, platforms, functools.partial(_send, uploads))
    follow(uploads, made)
    return made


def follow(uploads: Uploads, made: tuple[Image, ...]) -> None:
    """Let all blobs of these images follow. Raises PublishError when a destination refuses them in any case."""
    release = Release(uploads.bundle, made)
    refuse(uploads.bundle, made, uploads.destinations)
    for each in uploads.destinations:
        before = [upload for target, upload in uploads.running if target == each]
        uploads.running.append((each, uploads.pool.submit(_rest, each, release, before)))


def _send(uploads: Uploads, layer: Layer) -> None:
    for each in uploads.destinations:
        uploads.running.append((each, uploads.pool.submit(targets.send, each, uploads.bundle, layer)))


def _rest(target: Target, release: Release, before: Sequence[Future[None]]) -> None:
    """All that is not there yet; what is on its way is not sent a second time."""
    wait(before)
    targets.ahead(target, release)


def refuse(opened: Bundle, images: tuple[Image, ...], destinations: Sequence[Target]) -> None:
    """Raise PublishError for what destinations refuse already; who cannot be asked now is asked when publishing."""
    for each in destinations:
        try:
            targets.refuse(each, Release(opened, images))
        except CdafError as error:
            if isinstance(error, PublishError) and not error.transient:
                raise
            progress.note(f"{each}: cannot be asked yet: {error}")


def publish(
    opened: Bundle, images: tuple[Image, ...], destinations: Sequence[Target], begun: Journal
) -> tuple[Publication, ...]:
    """Publish to each destination in turn, entering each as soon as it is done.

    Raises PublishError before anything is sent when an image is untested, else after the first refusal: what was
    published until then stands in the record.
    """
    record.refuse_untested(begun.record, images, opened.manifest)
    _warn_of_dirt(opened, destinations)
    done = begun.record
    entered: list[Publication] = []
    for each in destinations:
        with progress.step(f"publish to {each}"):
            new = targets.publish(each, Release(opened, images))
        done = record.published(done, new)
        record.write(done, begun.place)
        entered += new
    return tuple(entered)


def _warn_of_dirt(opened: Bundle, destinations: Sequence[Target]) -> None:
    """Say once that only digests lead to what a dirty tree has in registries: many of them remove what has no tag."""
    if opened.manifest.source.dirty and any(each.kind == "registry" for each in destinations):
        progress.warn(f"{opened.path.name} is of a dirty tree, so no tag names its image in a registry")


def foretell(
    opened: Bundle, images: tuple[Image, ...], destinations: Sequence[Target], begun: Journal
) -> tuple[Publication, ...]:
    """What `publish` would be asked for: the same refusals, and nothing is sent. Raises PublishError."""
    record.refuse_untested(begun.record, images, opened.manifest)
    refuse(opened, images, destinations)
    _warn_of_dirt(opened, destinations)
    return tuple(
        msgspec.structs.replace(each, hint="dry run: nothing was sent")
        for to in destinations
        for each in targets.foretell(to, Release(opened, images))
    )
