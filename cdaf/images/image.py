"""The assembler: a plan and the bytes it names become an image; no daemon is asked and nothing is run.

The image is a pure function of the plan, the content and the base; `ASSEMBLER_REVISION` names that function.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from cdaf import ASSEMBLER_REVISION, store, typed
from cdaf.errors import ImageError, ResolveError
from cdaf.images import layers, oci, parse, plan
from cdaf.images.content import Contents
from cdaf.images.layers import Promise
from cdaf.images.oci import Image
from cdaf.registries import reference
from cdaf.registries.reference import Reference

INPUTS_LABEL = "io.cdaf.inputs"


class Base(msgspec.Struct, frozen=True):
    """What an image stands on: its config as parsed, and its layers."""

    config: dict[str, Any]
    layers: tuple[oci.Layer, ...]
    pin: plan.BasePin | None


class _Rootfs(msgspec.Struct, frozen=True):
    diff_ids: tuple[str, ...]


class _Runtime(msgspec.Struct, frozen=True):
    Env: tuple[str, ...] | None = None
    Labels: dict[str, str] | None = None


class _Config(msgspec.Struct, frozen=True):
    """What is read of a base's config, of the types that the OCI image-spec gives it (config.md)."""

    rootfs: _Rootfs
    config: _Runtime | None = None
    history: tuple[dict[str, Any], ...] | None = None


def assemble(
    wanted: plan.ImagePlan,
    contents: Contents,
    promised: Sequence[Promise] = (),
    written: Callable[[oci.Layer], None] = lambda _: None,
) -> Image:
    """The image of one platform; its layers' blobs are in the cache afterwards.

    `promised` are its own layers as foretold, in order, or none; `written` is told of each that came out so. Raises
    ImageError when the plan cannot be followed, a transient error when the base cannot be read now.
    """
    base = pinned(wanted.base, wanted.platform)
    own = layers.ensure(wanted.layers, contents, wanted.compression, promised, written)
    inputs = _inputs(wanted, contents)
    config = _config(base.config, wanted.config, {INPUTS_LABEL: inputs})
    return _image(wanted.platform, base, own, config, wanted.created)


def assemble_smoke(wanted: plan.SmokePlan, tested: Image, contents: Contents) -> Image:
    """The image that the checks run in: the tested one, or another base, with the checks' layers on top."""
    if wanted.base is not None:
        base = pinned(wanted.base, wanted.platform)
    else:
        base = Base(msgspec.json.decode(tested.config), tested.layers, tested.base)
    told = base.config.get("config") or {}
    runtime = {**told, "Env": _environment(told.get("Env") or [], wanted.environment), "WorkingDir": wanted.folder}
    for own in ("Healthcheck", "Entrypoint", "Cmd"):  # the checks' command is whole
        runtime.pop(own, None)
    config = {**base.config, "config": runtime}
    created = config.get("created", "1980-01-01T00:00:00Z")
    return _image(wanted.platform, base, layers.ensure(wanted.layers, contents, "gzip"), config, created)


def pinned(pin: plan.BasePin, platform: str) -> Base:
    """A base by its digest; its manifest and config are kept in the cache, its layers are only named.

    Raises ImageError when it cannot be built on, a transient error when it cannot be read now.
    """
    if not pin.digest:
        system, architecture, *variant = platform.split("/")
        bare = {"architecture": architecture, "os": system, **({"variant": variant[0]} if variant else {})}
        return Base({**bare, "rootfs": {"type": "layers", "diff_ids": []}}, (), None)
    source = reference.at(reference.parse(pin.reference), pin.digest)
    described, listed = _manifest(_read(source), source)
    config = _decoded(_read(source, described), f"the config of {source}")
    if (system := config.get("os", "linux")) != platform.partition("/")[0]:
        raise _unusable(source, f"it is for {system}, and the image for {platform}")
    try:
        diff_ids = typed.convert(config, _Config).rootfs.diff_ids
        below = tuple(
            oci.Layer(each.digest, diff_id, each.size, each.media_type, f"base {pin.reference}")
            for each, diff_id in zip(listed, diff_ids, strict=True)
        )
    except (ValueError, msgspec.ValidationError) as error:
        raise _unusable(source, error) from error
    return Base(config, tuple(_cached(each) for each in below), pin)


def _read(source: Reference, blob: oci.Descriptor | None = None) -> bytes:
    """A base's manifest, or one of its small blobs; who has it is only asked when the cache does not."""
    kept = store.read("blobs", oci.hexed(blob.digest if blob else source.digest))
    if kept is not None:
        return kept
    from cdaf.registries import registry

    return registry.blob(source, blob).read_bytes() if blob else registry.manifest_by_digest(source)


def _manifest(data: bytes, source: Reference) -> tuple[oci.Descriptor, tuple[oci.Descriptor, ...]]:
    try:
        config, listed = parse.manifest(data, str(source))
    except ResolveError as error:
        raise _unusable(source, error) from error
    odd = [each for each in listed if oci.canonical(each.media_type) not in (oci.LAYER, *oci.LAYERS.values())]
    if odd:
        raise _unusable(source, f"layer {odd[0].digest} is {odd[0].media_type}, which no engine takes from others")
    return config, listed


def _unusable(source: Reference, error: Exception | str) -> ImageError:
    return ImageError(f"{source} is not an image that can be built on: {error}", "choose another base")


def _cached(base_layer: oci.Layer) -> oci.Layer:
    found = store.path("blobs", oci.hexed(base_layer.digest))
    return msgspec.structs.replace(base_layer, path=found) if found.is_file() else base_layer


def _decoded(data: bytes, what: str) -> dict[str, Any]:
    try:
        return typed.decode(data, dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ImageError(f"{what} cannot be read: {error}", "choose another base") from error


def _inputs(wanted: plan.ImagePlan, contents: Contents) -> str:
    """The SHA-256 over everything that the image is a function of."""
    names = plan.members(wanted.layers)
    told = (ASSEMBLER_REVISION, wanted, {name: contents[name].sha256 for name in names})
    return "sha256:" + hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()


def configured(wanted: plan.ImagePlan) -> dict[str, Any]:
    """The config that a plan gives its image on a base that has none, without what follows from layers."""
    return {"created": wanted.created, **_config({}, wanted.config, {})}


def _config(base: Mapping[str, Any], wanted: plan.Config, labels: Mapping[str, str]) -> dict[str, Any]:
    """The base's config with the service's own on top (OCI image-spec, config.md; Healthcheck is the engine's)."""
    old = base.get("config") or {}
    new = {key: value for key, value in old.items() if key not in ("Entrypoint", "Cmd", "ArgsEscaped", "OnBuild")}
    new |= {
        "User": wanted.user,
        "Env": _environment(old.get("Env") or [], wanted.environment),
        "Cmd": list(wanted.command),
        "WorkingDir": wanted.folder,
        "Labels": dict(sorted({**(old.get("Labels") or {}), **wanted.labels, **labels}.items())),
    }
    if wanted.port is not None:
        new["ExposedPorts"] = {f"{wanted.port}/tcp": {}}
    if wanted.volumes:
        new["Volumes"] = {folder: {} for folder in wanted.volumes}
    if wanted.health is not None:
        new["Healthcheck"] = _health(wanted.health)
    return {**base, "config": new}


def _health(wanted: plan.Health) -> dict[str, Any]:
    second = 1_000_000_000
    return {
        "Test": ["CMD", *wanted.command],
        "Interval": wanted.interval * second,
        "Timeout": wanted.timeout * second,
        "StartPeriod": wanted.start_period * second,
        "Retries": wanted.retries,
    }


def _environment(old: Sequence[str], new: Mapping[str, str]) -> list[str]:
    merged = dict(entry.partition("=")[::2] for entry in old) | dict(sorted(new.items()))
    return [f"{name}={value}" for name, value in merged.items()]


def _image(platform: str, base: Base, own: tuple[oci.Layer, ...], config: Mapping[str, Any], created: str) -> Image:
    history = [
        *(base.config.get("history") or []),
        *({"created": created, "created_by": f"cdaf: {each.name}"} for each in own),
    ]
    whole = base.layers + own
    config = {
        **config,
        "created": created,
        "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in whole]},
        "history": history,
    }
    encoded = msgspec.json.encode(config, order="sorted")
    described = oci.config_descriptor(encoded)
    manifest = oci.manifest_bytes(described, whole)
    return Image(platform, oci.digest_of(manifest), manifest, encoded, described.digest, whole, base.pin)
