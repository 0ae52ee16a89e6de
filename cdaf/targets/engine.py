"""`engine:[NAME]`: names for the tested image in the local engine; it is loaded where the engine has lost it."""

import msgspec

from cdaf import engine, progress
from cdaf.bundles.manifest import Manifest
from cdaf.errors import PublishError, ResolveError
from cdaf.images.oci import Image
from cdaf.registries import reference
from cdaf.targets import Publication, Release, Target


def check(where: str, manifest: Manifest) -> list[str]:
    """A name, with a tag of its own if need be: that one may move. By default the service's."""
    if "@" in where:
        return ["a target names no digest"]
    try:
        reference.parse(where or manifest.service.name)
    except ResolveError as error:
        return [error.message]
    return []


def publish(target: Target, release: Release) -> tuple[Publication, ...]:
    """Tag the image that the engine runs; a tag that named another moves, for these names are this machine's alone.

    Raises PublishError when the engine runs none of the platforms, EngineError where there is no engine.
    """
    (planned,) = foretell(target, release)
    found, own = planned.reference, bool(_own_tag(target, release))
    names = _names(planned, own=own)
    standing = {name: _id(name) for name in names}
    for name in names[: 0 if own else len(target.tags)]:
        if standing[name] not in {"", found}:
            progress.warn(f"{name} named another image in the local engine, {standing[name]}, and names this one now")
    missing = [name for name, there in standing.items() if there != found]
    engine.tag(found, missing)
    hint = _hint(release.bundle.manifest, names[0])
    return (msgspec.structs.replace(planned, state="created" if missing else "present", hint=hint),)


def foretell(target: Target, release: Release) -> tuple[Publication, ...]:
    """What `publish` would name, and how. Raises as it does."""
    named = target.where or release.bundle.manifest.service.name
    own = _own_tag(target, release)
    # Only a clean tree may take the name that stands for the newest; people still need one to start the image by.
    alone = "dirty" if release.bundle.manifest.source.dirty else "latest"
    tags = (own,) if own else (*target.tags, *target.moving) or (alone,)
    image, found = _held(release.images)
    return (Publication(f"engine:{named}", found, image.digest, tags, "planned"),)


def _own_tag(target: Target, release: Release) -> str:
    return reference.parse(target.where or release.bundle.manifest.service.name).tag or ""


def _names(planned: Publication, *, own: bool) -> list[str]:
    named = planned.target.partition(":")[2]
    return [named if own else f"{named}:{tag}" for tag in planned.tags]


def _held(images: tuple[Image, ...]) -> tuple[Image, str]:
    """The image that the engine has, as its smoke test left it, and its id there; else the one that it can run."""
    for image in images:
        if found := engine.held(image):
            return image, found
    known = engine.facts()
    for how in ("native", "emulated"):
        for image in images:
            if known.runs(image.platform) == how:
                return image, engine.load(image)
    there = ", ".join(image.platform for image in images)
    raise PublishError(f"the engine runs {known.native}, and there are images for {there}", "add its platform")


def _id(name: str) -> str:
    found = engine.inspect(name)
    return str(found["Id"]) if found else ""


def _hint(manifest: Manifest, name: str) -> str:
    """The line that starts the service, with what its smoke test handed to it left open."""
    port = manifest.service.port
    words = ["docker run --rm", *([f"-p {port}:{port}"] if port else [])]
    words += [f"-e {variable}=…" for variable in _variables(manifest)]
    return " ".join([*words, name])


def _variables(manifest: Manifest) -> list[str]:
    """What has no value in the image: secrets, the test's own variables, and the first that each sidecar hands over."""
    from cdaf.testing import stack

    smoke = manifest.smoke.declared
    beside = [stack.fragment(image) for image in smoke.sidecars]
    handed = [next(iter(each.environment)) for each in beside if each and each.environment]
    wanted = dict.fromkeys([*handed, *smoke.env, *smoke.secrets])
    return [name for name in wanted if name not in manifest.service.environment]
