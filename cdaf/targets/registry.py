"""`registry:HOST[:PORT]/REPOSITORY`: a container registry; the digest that was tested, then its tags."""

import functools
from collections.abc import Callable, Sequence
from typing import IO, Literal

from cdaf import progress, store
from cdaf.bundles.bundle import Bundle
from cdaf.bundles.manifest import Manifest
from cdaf.errors import CdafError, PublishError, ResolveError, faults
from cdaf.images import artifacts, image, oci
from cdaf.images.artifacts import Artifact
from cdaf.images.oci import Descriptor, Image, Layer
from cdaf.images.plan import BasePin, ImagePlan
from cdaf.net import transfers
from cdaf.registries import reference, referrers, registry, upload, wire
from cdaf.registries.reference import Reference
from cdaf.registries.wire import Repository
from cdaf.targets import Publication, Release, Target
from cdaf.targets._attached import attached


def check(where: str, _: Manifest) -> list[str]:
    """A repository alone: tags are declared, a digest is found out, and logins come from where they are kept."""
    if "@" in where:
        return ["a target names a repository, neither a digest nor a login; log in with `docker login HOST`"]
    try:
        named = reference.parse(where)
    except ResolveError as error:
        return [error.message]
    if named.tag:
        return ["a target names no tag; declare tags under [publish]"]
    host = where.partition("/")[0]
    if host == where:
        return ["it names no host: registry:HOST/REPOSITORY"]
    if host != "localhost" and "." not in host and ":" not in host:
        # What `docker push` takes for a name on Docker Hub is here more likely one whose host was forgotten.
        return [f"{host!r} is no host: registry:HOST/REPOSITORY; for Docker Hub, write 'registry:docker.io/{where}'"]
    return []


def refuse(target: Target, release: Release) -> None:
    """Raise PublishError when one of the tags names another image already."""
    where, _ = _place(target, release)
    digest = oci.published(release.images)[2]
    _demand_unmoved(where, target, _standing(where, target, digest), digest)


def begin(target: Target, bundle: Bundle) -> None:
    """Send the layers of bases, unless the images that stand on them are there already. Raises PublishError."""
    named = reference.parse(target.where)
    where = wire.target(named, _mountable(named, _bases(bundle.plans.images)))
    foretold = {each.platform: each.digest for each in bundle.manifest.images}
    for each in bundle.plans.images:
        if each.platform not in foretold or registry.head(where, foretold[each.platform]) is None:
            for layer in image.pinned(each.base, each.platform).layers:
                _send_layer(where, named, each.base, layer)


def send(target: Target, bundle: Bundle, layer: Layer) -> None:
    """Send one layer, which nobody sees until a manifest names it. Raises PublishError."""
    named = reference.parse(target.where)
    _send_layer(wire.target(named, _mountable(named, _bases(bundle.plans.images))), named, None, layer)


def ahead(target: Target, release: Release) -> None:
    """Send blobs while the image is still being tested: nothing names them, and nobody sees them.

    What is published already is not sent again. Raises PublishError, which `publish` will raise again if it lasts.
    """
    where, named = _place(target, release)
    digest = oci.published(release.images)[2]
    if registry.head(where, digest) is None:
        _send_blobs(where, named, release.images)


def publish(target: Target, release: Release) -> tuple[Publication, ...]:
    """Publish manifests, index, what refers to them, and tags; all tags are looked at before anything is sent.

    Raises PublishError, transient when later may be better.
    """
    where, named = _place(target, release)
    data, media_type, digest = oci.published(release.images)
    standing = _standing(where, target, digest)
    _demand_unmoved(where, target, standing, digest)
    there = standing.pop(digest) == digest
    missing = [tag for tag, found in standing.items() if found != digest]
    if not there:
        _send_blobs(where, named, release.images)
        for each in release.images if len(release.images) > 1 else ():
            upload.put_manifest(where, each.manifest, oci.MANIFEST)
        upload.put_manifest(where, data, media_type)
    new = _attach(where, release)
    for tag in missing:
        upload.put_manifest(where, data, media_type, tag)
    state: Literal["created", "present"] = "created" if missing or new or not there else "present"
    return (Publication(f"registry:{named}", f"{named}@{digest}", digest, tuple(standing), state),)


def foretell(target: Target, release: Release) -> tuple[Publication, ...]:
    """What `publish` would put there; nothing is asked."""
    named, digest = reference.parse(target.where), oci.published(release.images)[2]
    tags = (*target.tags, *target.moving)
    return (Publication(f"registry:{named}", f"{named}@{digest}", digest, tags, "planned"),)


def _place(target: Target, release: Release) -> tuple[Repository, Reference]:
    named = reference.parse(target.where)
    return wire.target(named, _mountable(named, _bases(release.images))), named


def _bases(images: Sequence[Image | ImagePlan]) -> list[Reference]:
    return [reference.parse(each.base.reference) for each in images if each.base and each.base.digest]


def _standing(where: Repository, target: Target, digest: str) -> dict[str, str | None]:
    """What the registry has under the digest and under each tag."""
    names = (*target.tags, *target.moving, digest)
    with transfers.workers(registry.WORKERS) as pool:
        return dict(zip(names, pool.map(functools.partial(registry.head, where), names), strict=True))


def _moved(target: Target, standing: dict[str, str | None], digest: str) -> list[str]:
    """No server can be trusted to keep a tag in its place, so we do; two publishers at the same moment still race."""
    return [f"tag {tag} names {standing[tag]} already" for tag in target.tags if standing[tag] not in {None, digest}]


def _demand_unmoved(where: Repository, target: Target, standing: dict[str, str | None], digest: str) -> None:
    if moved := _moved(target, standing, digest):
        raise PublishError(
            faults(f"{where.label}/{where.name}", moved), "publish a new version; what is published stays"
        )


def _attach(where: Repository, release: Release) -> bool:
    """Attach what refers to the image and is not there yet; whether that was anything."""
    by_subject: dict[str, list[tuple[Descriptor, Artifact]]] = {}
    for subject, artifact in attached(release):
        by_subject.setdefault(subject.digest, []).append((subject, artifact))
    with transfers.workers(registry.WORKERS) as pool:
        return any([*pool.map(functools.partial(_attach_all, where), by_subject, by_subject.values())])


def _attach_all(where: Repository, digest: str, wanted: list[tuple[Descriptor, Artifact]]) -> bool:
    """A registry that takes no such manifests is no reason not to publish: that is said, and the image is there."""
    new = False
    try:
        there = {each.digest for each in referrers.listed(where, digest)}
        for subject, each in wanted:
            if artifacts.referrer(each, subject).digest not in there:
                referrers.attach(where, subject, each.artifact_type, each.data, each.media_type, each.annotations)
                new = True
    except CdafError as error:
        if error.transient:
            raise
        types = ", ".join(each.artifact_type for _, each in wanted)
        progress.warn(f"{types} is not attached to {digest}: {error.message}")
    return new


def _mountable(named: Reference, bases: Sequence[Reference]) -> tuple[str, ...]:
    """The bases' repositories on the same registry."""
    return tuple(dict.fromkeys(base.repository for base in bases if base.registry == named.registry))


def _send_blobs(where: Repository, named: Reference, images: tuple[Image, ...]) -> None:
    """Every blob, some at a time."""
    jobs: dict[str, Callable[[], object]] = {}
    for each in images:
        config = oci.config_descriptor(each.config)
        jobs[config.digest] = functools.partial(_send_config, where, config, each.config)
        for layer in each.layers:
            jobs.setdefault(layer.digest, functools.partial(_send_layer, where, named, each.base, layer))
    with transfers.workers(registry.WORKERS) as pool:
        for running in [pool.submit(job) for job in jobs.values()]:
            running.result()


def _send_config(where: Repository, config: Descriptor, data: bytes) -> None:
    import io

    upload.upload(where, config, lambda: io.BytesIO(data), label="config")


def _send_layer(where: Repository, named: Reference, pin: BasePin | None, layer: Layer) -> None:
    """A base's layer may lie in its own repository alone: mounted if that can be, else fetched when it is needed."""
    blob = Descriptor(layer.media_type, layer.digest, layer.size)
    base = reference.parse(pin.reference) if pin else None
    source = base.repository if base and base.registry == named.registry and base.repository != named.repository else ""

    def opened() -> IO[bytes]:
        if layer.path is None and base is not None:
            return registry.blob(base, blob).open("rb")
        try:
            return oci.path_of(layer).open("rb")
        except FileNotFoundError as error:
            text = f"layer {layer.digest} is gone from the cache"
            raise PublishError(text, "run the command again", transient=True) from error

    try:
        upload.upload(where, blob, opened, source, layer.name)
    except CdafError as error:
        # The registry hashes what it is sent; only what it refuses is worth another reading here.
        there = layer.path is not None and layer.path.is_file()
        if there and store.checked(registry.KIND, oci.hexed(layer.digest)) is None:
            raise oci.spoilt(layer) from error
        raise
