"""`layout:FOLDER`: an OCI layout on disk, the blobs that a registry would get; by default beside the bundle."""

from pathlib import Path

import msgspec

from cdaf.bundles.manifest import Manifest
from cdaf.errors import PublishError, faults
from cdaf.images import layout as layouts
from cdaf.images import oci
from cdaf.registries import registry
from cdaf.targets import Publication, Release, Target
from cdaf.targets._attached import attached


def check(where: str, _: Manifest) -> list[str]:
    """Any folder will do; what is in it is seen when it is written to."""
    return ["the folder's name has a character that no folder can have"] if "\0" in where else []


def publish(target: Target, release: Release) -> tuple[Publication, ...]:
    """Write the layout, or add to it. Raises PublishError when a tag there names something else."""
    (planned,) = foretell(target, release)
    folder, digest = _folder(target, release), planned.digest
    named = layouts.tags(folder)
    taken = [f"tag {tag} names {named[tag]} already" for tag in target.tags if named.get(tag, digest) != digest]
    if taken:
        raise PublishError(faults(str(folder), taken), "publish a new version, or another folder")
    images = tuple(registry.complete(image) for image in release.images)
    state = layouts.write(folder, images, planned.tags, attached(release))
    return (msgspec.structs.replace(planned, state=state),)


def foretell(target: Target, release: Release) -> tuple[Publication, ...]:
    """What `publish` would write, and where."""
    folder, digest = _folder(target, release), oci.published(release.images)[2]
    return (Publication(f"layout:{folder}", f"{folder}@{digest}", digest, (*target.tags, *target.moving), "planned"),)


def _folder(target: Target, release: Release) -> Path:
    return Path(target.where) if target.where else release.bundle.path.with_suffix(".oci")
