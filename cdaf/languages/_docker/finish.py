"""From what BuildKit left to an image that is the same for the same inputs: layers written anew, times and labels set.

What a commit alone changes (its time, labels) stays out of what is kept, so that the next commit takes it as it is.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec

from cdaf import typed
from cdaf.errors import ProjectError, ResolveError, faults
from cdaf.images import oci, parse, rewriting, tarform
from cdaf.images.oci import Descriptor, Image, Layer
from cdaf.images.plan import BasePin
from cdaf.images.sealed import Sealed
from cdaf.languages._docker.rules import INLINE
from cdaf.languages._shared import frame
from cdaf.projects import rules
from cdaf.projects.pins import Base
from cdaf.projects.project import Project
from cdaf.projects.sealing import rfc3339
from cdaf.registries import reference, registry

_KEPT = ("architecture", "author", "config", "history", "os", "os.version", "variant")
_INLINE = "moby.buildkit.cache.v0"  # where BuildKit looks for an inline cache
_OURS = "io.cdaf."
_LONGEST = 60


class Kept(msgspec.Struct, frozen=True):
    """A layer, as it is kept."""

    digest: str
    diff_id: str
    size: int
    media_type: str
    name: str


class Template(msgspec.Struct, frozen=True):
    """An image that was built, without what its commit adds; `below` is of its base, `own` above it.

    `inherited` counts the entries of its history that are the base's.
    """

    platform: str
    config: dict[str, Any]
    below: tuple[Kept, ...]
    own: tuple[Kept, ...]
    inherited: int
    base: BasePin | None = None
    tools: tuple[BasePin, ...] = ()


def template(
    project: Project, layout: Path, platform: str, base: BasePin | None, tools: tuple[BasePin, ...]
) -> Template:
    """Read the layout that the engine saved, and write its own layers anew.

    Raises ResolveError when it is not an image of the platform, ProjectError for a secret in its environment.
    """
    manifest = _saved(layout)
    config, listed = parse.manifest(manifest, "what was built")
    data = (layout / oci.blob_name(config.digest)).read_bytes()
    told, diff_ids = dict(parse.config(data, "its config")), parse.diff_ids(data, "its config")
    if not oci.is_for(made := parse.platform(data, "its config"), platform):
        raise ResolveError(
            f"the build for {platform} gave an image for {made}", "take --platform out of the last FROM, or correct it"
        )
    below, old = _below(base, diff_ids)
    _demand_no_secrets(told, old)
    names = _names(told, len(listed))
    own = tuple(
        _keep(rewriting.layer(layout / oci.blob_name(each.digest), project.settings.image.compression, name))
        for each, name in zip(listed[len(below) :], names[len(below) :], strict=True)
    )
    inherited = old.get("history") or []
    cleaned = _cleaned(told, inline=project.settings.docker.cache_to == INLINE)
    cleaned["history"] = [*inherited, *(cleaned.get("history") or [])[len(inherited) :]]
    return Template(platform, cleaned, below, own, len(inherited), base if below else None, tools)


def _saved(layout: Path) -> bytes:
    """The manifest of the one image that a layout holds, whatever index leads to it."""
    data = (layout / "index.json").read_bytes()
    for _ in range(3):
        found = typed.decode(data, dict[str, Any])
        if "manifests" not in found:
            return data
        entries = [each for each in found["manifests"] if (each.get("platform") or {}).get("os") != "unknown"]
        data = (layout / oci.blob_name(str(entries[0]["digest"]))).read_bytes()
    raise ResolveError("the engine saved no image of what was built", "look into the engine's log")


def _below(base: BasePin | None, diff_ids: tuple[str, ...]) -> tuple[tuple[Kept, ...], dict[str, Any]]:
    """The base's own layers, as its registry has them, and its config; none when the image does not begin with them."""
    if base is None:
        return (), {}
    named = reference.at(reference.parse(base.reference), base.digest)
    config, listed = parse.manifest(registry.manifest_by_digest(named), str(named))
    data = registry.blob(named, config).read_bytes()
    ids = parse.diff_ids(data, f"the config of {named}")
    if diff_ids[: len(ids)] != ids:
        return (), {}
    layers = tuple(
        Kept(each.digest, diff_id, each.size, oci.canonical(each.media_type), f"base {base.reference}")
        for each, diff_id in zip(listed, ids, strict=True)
    )
    return layers, dict(parse.config(data, f"the config of {named}"))


def _demand_no_secrets(told: dict[str, Any], old: dict[str, Any]) -> None:
    inherited = set((old.get("config") or {}).get("Env") or ())
    pairs = [str(each).partition("=")[::2] for each in (told.get("config") or {}).get("Env") or ()]
    wrong = [
        f"ENV {name} looks like a secret, and an image is no place for one"
        for name, value in pairs
        if f"{name}={value}" not in inherited and rules.looks_secret(name, value)
    ]
    if wrong:
        raise ProjectError(faults("the Dockerfile", wrong), "name it in smoke.secrets, and hand it over when it runs")


def _names(told: dict[str, Any], count: int) -> list[str]:
    """What people call each layer: the instruction that made it."""
    history = [str(each.get("created_by") or "") for each in told.get("history") or () if not each.get("empty_layer")]
    if len(history) != count:
        return [f"layer {number}" for number in range(1, count + 1)]
    plain = (" ".join(each.removesuffix("# buildkit").split()) for each in history)
    return [each if len(each) <= _LONGEST else f"{each[: _LONGEST - 1]}…" for each in plain]


def _keep(layer: Layer) -> Kept:
    return Kept(layer.digest, layer.diff_id, layer.size, layer.media_type, layer.name)


def _cleaned(told: dict[str, Any], *, inline: bool) -> dict[str, Any]:
    """What the specification knows, without the engine's own notes and the labels of this build."""
    found = {key: told[key] for key in (*_KEPT, *([_INLINE] if inline else [])) if key in told}
    runtime = {key: value for key, value in (found.get("config") or {}).items() if key != "ArgsEscaped"}
    labels = {key: value for key, value in (runtime.pop("Labels", None) or {}).items() if not key.startswith(_OURS)}
    found["config"] = {**runtime, **({"Labels": labels} if labels else {})}
    if _INLINE in found:
        found[_INLINE] = _timeless(str(found[_INLINE]))
    return found


def _timeless(cache: str) -> str:
    """An inline cache without the moments at which its layers were made, by which BuildKit only tells old from new."""
    records = typed.decode(base64.b64decode(cache), list[dict[str, Any]])
    for layer in (layer for each in records for layer in each.get("layers") or ()):
        layer["createdAt"] = rfc3339(tarform.TIME)
    return base64.b64encode(msgspec.json.encode(records)).decode()


def finished(project: Project, built: Template) -> Sealed:
    """The image of this commit: its time where the build has none of its own, and the standard labels."""
    created = rfc3339(project.source.time)
    runtime = dict(built.config["config"])
    base = built.base or BasePin("scratch", "")
    standard = frame.labels(
        project, Base(reference=base.reference, platform=built.platform, digest=base.digest), created
    )
    runtime["Labels"] = dict(sorted({**standard, **(runtime.get("Labels") or {})}.items()))
    history = built.config.get("history") or []
    whole = (*built.below, *built.own)
    config = msgspec.json.encode(
        {
            **built.config,
            "config": runtime,
            "created": created,
            "history": [
                *history[: built.inherited],
                *({**each, "created": created} for each in history[built.inherited :]),
            ],
            "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in whole]},
        },
        order="sorted",
    )
    described = oci.config_descriptor(config)
    layers = _layers(built)
    manifest = oci.manifest_bytes(described, layers)
    digest = oci.digest_of(manifest)
    image = Image(built.platform, digest, manifest, config, described.digest, layers, built.base)
    return Sealed(image, len(built.own), project.settings.docker.network, built.tools)


def _layers(built: Template) -> tuple[Layer, ...]:
    """All of them with their blobs in the cache; those of the base come from its registry."""
    from cdaf import store

    named = reference.at(reference.parse(built.base.reference), built.base.digest) if built.base else None
    fetched = registry.blobs(named, [Descriptor(e.media_type, e.digest, e.size) for e in built.below]) if named else ()
    paths = [*fetched, *(store.path("blobs", oci.hexed(each.digest)) for each in built.own)]
    return tuple(
        Layer(each.digest, each.diff_id, each.size, each.media_type, each.name, path)
        for each, path in zip((*built.below, *built.own), paths, strict=True)
    )
