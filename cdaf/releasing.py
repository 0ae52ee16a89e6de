"""The steps of a release, each for itself: what the single commands of CD do, and `flow.release` in one go."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from cdaf import building, bundle, config, oci, progress, record, smoke, targets
from cdaf.bundle import Bundle
from cdaf.errors import PublishError, SmokeError
from cdaf.manifest import Manifest
from cdaf.oci import Image
from cdaf.record import Record
from cdaf.targets import Publication, Release, Target


class Journal(msgspec.Struct, frozen=True):
    """The release record and the file in which it lies."""

    record: Record
    place: Path


def manifest(opened: Bundle, file: Path | None) -> Manifest:
    """The bundle's manifest, its publishing settings overridden by those of `--config FILE`."""
    if file is None:
        return opened.manifest
    publish, environments = config.overriding(file, opened.manifest.publish, opened.manifest.environments)
    return msgspec.structs.replace(opened.manifest, publish=publish, environments=environments)


def journal(opened: Bundle, images: Sequence[Image], chosen: Path | None) -> Journal:
    """The release record of these images, begun or gone on with; a place that cannot be written to fails here."""
    place = record.path(opened, chosen)
    begun = record.start(place, opened, images)
    record.write(begun, place)
    return Journal(begun, place)


def test(opened: Bundle, images: Sequence[Image], begun: Journal, *, keep: bool = False) -> Journal:
    """Smoke-test every image that runs here, and enter the results. Raises SmokeError when one fails."""
    reports = begun.place.with_name(begun.place.name.removesuffix(".release.toml") + ".smoke")
    try:
        report = smoke.test(opened, images, reports, keep=keep)
    except SmokeError:
        raise
    done = record.tested(begun.record, report)
    record.write(done, begun.place)
    return Journal(done, begun.place)


def publish(
    opened: Bundle, images: tuple[Image, ...], destinations: Sequence[Target], begun: Journal
) -> tuple[Publication, ...]:
    """Publish to each destination in turn, entering each as soon as it is done.

    Raises PublishError before anything is sent when an image is untested, else after the first refusal: what was
    published until then stands in the record.
    """
    record.refuse_untested(begun.record, images, opened.manifest)
    done, entered = begun.record, []
    for each in destinations:
        with progress.step(f"publish to {each}"):
            new = targets.publish(each, Release(opened, images))
        done = record.published(done, new)
        record.write(done, begun.place)
        entered += new
    return tuple(entered)


def foretell(
    opened: Bundle, images: tuple[Image, ...], destinations: Sequence[Target], begun: Journal
) -> tuple[Publication, ...]:
    """What `publish` would be asked for: the same refusals, and nothing is sent. Raises PublishError."""
    record.refuse_untested(begun.record, images, opened.manifest)
    digest = oci.published(images)[2]
    return tuple(
        Publication(str(to), f"{to}@{digest}", digest, (*to.tags, *to.moving), "planned", "dry run: nothing was sent")
        for to in destinations
    )
