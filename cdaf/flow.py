"""The whole order of things: how a service becomes a bundle, and a bundle a tested, published digest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cdaf.progress import step

if TYPE_CHECKING:
    from cdaf.bundles.bundle import Bundle
    from cdaf.targets import Publication


def package(
    root: Path, into: Path, *, flags: Mapping[str, object] = {}, locked: bool = False, release: bool = False
) -> "Bundle":
    """CI: resolve, collect, seal. Nothing that follows needs the project any more."""
    from cdaf import languages
    from cdaf.projects import locking, project, sealing, steady

    with step("read"):
        found = project.read(root, flags, release=release)
        language = languages.load(found.language)
        pins = locking.ensure(found, locked=locked)
    with step("resolve"):
        lock = language.resolve(found, pins)
        found = project.settle(found, (locking.path(found), *lock.inputs), release=release)
    with steady.watched(found.seen) as confirm:
        with step("collect"):
            collection = language.collect(found, lock)
        with step("plan"):
            planned = language.plan(found, collection)
            contents = sealing.contents(found, collection, planned)
            foretold = sealing.foretell(planned.plans, contents, planned.sealed)
            manifest = sealing.describe(found, collection, planned, foretold)
        with step("seal"):
            return sealing.seal(into, manifest, planned.plans, contents, confirm)


def release(
    file: Path,
    wanted: Sequence[str],
    *,
    config: Path | None = None,
    record: Path | None = None,
    keep: bool = False,
    dry_run: bool = False,
) -> "tuple[Publication, ...]":
    """CD: verify, image, smoke, publish. What is published is the very digest that was tested."""
    from cdaf import releasing, targets
    from cdaf.bundles import bundle

    with step("verify"):
        opened = bundle.open(file)
        destinations = targets.parse(wanted, releasing.manifest(opened, config))
        releasing.demand_testable(opened)
    with releasing.uploading(opened, () if dry_run else destinations) as uploads:
        with step("image"):
            images = releasing.images(uploads)
            journal = releasing.journal(opened, images, record)
        with step("smoke"):
            journal = releasing.test(opened, images, journal, keep=keep)
    with step("publish"):
        publish = releasing.foretell if dry_run else releasing.publish
        return publish(opened, images, destinations, journal)
