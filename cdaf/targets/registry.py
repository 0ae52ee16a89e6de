"""`registry:HOST[:PORT]/REPOSITORY`: a container registry; the digest that was tested, then its tags."""

import functools
from collections.abc import Callable
from typing import IO

from cdaf import store
from cdaf.bundles.manifest import Manifest
from cdaf.errors import CdafError, PublishError, ResolveError, faults
from cdaf.images import oci
from cdaf.images.oci import Descriptor, Image, Layer
from cdaf.net import transfers
from cdaf.registries import reference, registry, upload, wire
from cdaf.registries.wire import Repository
from cdaf.targets import Publication, Release, Target


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
    return ["it names no host: registry:HOST/REPOSITORY"] if where.count("/") == 0 else []


def publish(target: Target, release: Release) -> tuple[Publication, ...]:
    """Publish manifests, index and tags; all tags are looked at before anything is sent.

    Raises PublishError, transient when later may be better.
    """
    named = reference.parse(target.where)
    where = wire.target(named, _mountable(named, release.images))
    data, media_type, digest = oci.published(release.images)
    standing = {tag: registry.head(where, tag) for tag in (*target.tags, *target.moving)}
    _refuse_moves(where, target, standing, digest)
    there = registry.head(where, digest) == digest
    missing = [tag for tag, found in standing.items() if found != digest]
    if not there:
        _send(where, named, release.images)
        upload.put_manifest(where, data, media_type)
    for tag in missing:
        upload.put_manifest(where, data, media_type, tag)
    shown = f"{named}@{digest}"
    return (
        Publication(
            f"registry:{named}", shown, digest, tuple(standing), "created" if missing or not there else "present"
        ),
    )


def _refuse_moves(where: Repository, target: Target, standing: dict[str, str | None], digest: str) -> None:
    """No server can be trusted to keep a tag in its place, so we do; two publishers at the same moment still race."""
    moved = [tag for tag in target.tags if standing[tag] not in {None, digest}]
    if moved:
        raise PublishError(
            faults(f"{where.label}/{where.name}", [f"tag {tag} names {standing[tag]} already" for tag in moved]),
            "publish a new version; what is published stays",
        )


def _mountable(named: reference.Reference, images: tuple[Image, ...]) -> tuple[str, ...]:
    """The bases' repositories on the same registry."""
    bases = [reference.parse(image.base.reference) for image in images if image.base]
    return tuple(dict.fromkeys(base.repository for base in bases if base.registry == named.registry))


def _send(where: Repository, named: reference.Reference, images: tuple[Image, ...]) -> None:
    """Every blob, some at a time, then the platforms' manifests where an index is to name them."""
    jobs: dict[str, Callable[[], object]] = {}
    for image in images:
        config = oci.config_descriptor(image.config)
        jobs[config.digest] = functools.partial(_send_config, where, config, image.config)
        for layer in image.layers:
            jobs.setdefault(layer.digest, functools.partial(_send_layer, where, named, image, layer))
    with transfers.workers(registry.WORKERS) as pool:
        for running in [pool.submit(job) for job in jobs.values()]:
            running.result()
    for image in images if len(images) > 1 else ():
        upload.put_manifest(where, image.manifest, oci.MANIFEST)


def _send_config(where: Repository, config: Descriptor, data: bytes) -> None:
    import io

    upload.upload(where, config, lambda: io.BytesIO(data), label="config")


def _send_layer(where: Repository, named: reference.Reference, image: Image, layer: Layer) -> None:
    """A base's layer may lie in its own repository alone: mounted if that can be, else fetched when it is needed."""
    blob = Descriptor(layer.media_type, layer.digest, layer.size)
    base = reference.parse(image.base.reference) if image.base else None
    source = base.repository if base and base.registry == named.registry and base.repository != named.repository else ""

    def opened() -> IO[bytes]:
        if layer.path is not None:
            return layer.path.open("rb")
        if base is None:
            raise PublishError(f"layer {layer.digest} is not in the cache", "run the command again")
        return registry.blob(base, blob).open("rb")

    try:
        upload.upload(where, blob, opened, source, layer.name)
    except CdafError as error:
        # The registry hashes what it is sent; only what it refuses is worth another reading here.
        if layer.path is not None and store.checked(registry.KIND, oci.hexed(layer.digest)) is None:
            raise oci.spoilt(layer) from error
        raise
