"""What is in a bundle, as tables: service, source, bases, dependencies, layers, and every path of the image."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from cdaf.bundles import bundle as bundles
from cdaf.bundles import owners, sbom
from cdaf.bundles.bundle import Bundle
from cdaf.bundles.manifest import Foretold, Manifest
from cdaf.errors import UsageError
from cdaf.images import building, sealed
from cdaf.images.content import Contents
from cdaf.images.plan import ImagePlan, members
from cdaf.terminal.console import Table
from cdaf.terminal.units import size

_OF_DEPENDENCIES = ("name", "version", "group", "platforms", "licence", "bytes", "archive")


def tables(bundle: Bundle) -> list[Table]:
    """Everything worth a look, in the order of interest."""
    manifest = bundle.manifest
    return [
        Table("Service", ("", ""), _service(bundle)),
        Table("Source", ("", ""), _source(manifest)),
        Table("Base", ("platform", "reference", "digest", "for"), _bases(manifest)),
        Table("Image", ("platform", "digest", ""), _images(manifest)),
        Table("Layers", ("platform", "layer", "entries", "bytes"), _layers(bundle)),
        Table(
            "Dependencies",
            ("name", "version", "group", "platforms", "licence", "bytes", "archive"),
            _dependencies(bundle),
        ),
        Table("Smoke test", ("", ""), _smoke(manifest)),
        Table("Publish", ("", ""), _publish(manifest)),
        Table("Made by", ("", ""), _tools(manifest)),
    ]


class Path(msgspec.Struct, frozen=True, omit_defaults=True):
    """One path of an image: what stands there, the layer that brings it, and what it comes from.

    `origin` is a member of the bundle, with the name inside where that is an archive: `archive!member`; links and
    folders come from the plan alone. `owner` is the `bom-ref` of its component in the bill of materials.
    """

    path: str
    kind: str
    mode: str
    uid: int
    gid: int
    layer: str
    origin: str
    owner: str
    size: int | None = None
    target: str | None = None


def paths(bundle: Bundle, platform: str | None = None) -> dict[str, list[Path]]:
    """By platform, or of one: every path of the image above its base, each with its one owner.

    Raises UsageError for a platform that the bundle does not have.
    """
    held = building.contents(bundle)
    plans = {each.platform: each for each in bundle.plans.images}
    wanted = building.chosen(bundle, (platform,) if platform else ())
    return {
        each: list(_paths(bundle.manifest, plans[each], held) if each in plans else _sealed_paths(bundle, each))
        for each in wanted
    }


def _sealed_paths(bundle: Bundle, platform: str) -> Iterator[Path]:
    """The paths of an image that is sealed whole: all of them are the service's, for nobody else is known."""
    for layer, row in building.rows(bundle, platform):
        size = row.size if row.kind == "file" else None
        known = row.kind, f"{row.mode:04o}", row.uid, row.gid, layer.name, sealed.member(layer.digest)
        yield Path(f"/{row.path}", *known, sbom.ROOT, size, row.target or None)


def _paths(manifest: Manifest, plan: ImagePlan, held: Contents) -> Iterator[Path]:
    refs = {each.archive: each.purl for each in owners.dependencies(manifest, plan)}
    for each in owners.paths(plan.layers, plan, held, refs):
        header = each.header
        size = header.size if header.kind == "file" else None
        known = header.kind, f"{header.mode:04o}", header.uid, header.gid, each.layer, each.origin
        yield Path(f"/{header.path}", *known, refs.get(each.owner, sbom.ROOT), size, header.target or None)


def path_data(bundle: Bundle, platform: str | None = None) -> dict[str, Any]:
    """The paths of each platform's image, as data, and the bases, whose own paths are in no bundle."""
    bases = [b for b in bundle.manifest.bases if b.role == "image" and platform in (None, b.platform)]
    return {
        "files": {key: msgspec.to_builtins(found) for key, found in paths(bundle, platform).items()},
        "not_listed": [{"platform": b.platform, "base": b.reference, "digest": b.digest} for b in bases],
    }


def path_tables(bundle: Bundle, platform: str | None = None) -> list[Table]:
    """The paths of each platform's image with their owners, and the bases that are beneath."""
    names = {each.purl: each.name for each in bundle.manifest.dependencies} | {sbom.ROOT: bundle.manifest.service.name}
    bases = [each for each in _bases(bundle.manifest) if each[3] == "image" and platform in (None, each[0])]
    return [
        *(
            Table(
                f"Files of {key}",
                ("path", "mode", "owner", "bytes", "layer", "of", "from"),
                [_row(each, names) for each in found],
            )
            for key, found in paths(bundle, platform).items()
        ),
        Table("Not listed: what the base holds", ("platform", "reference", "digest"), [each[:3] for each in bases]),
    ]


def _row(each: Path, names: Mapping[str, str]) -> tuple[str, ...]:
    shown = f"{each.path} -> {each.target}" if each.target else each.path
    told = each.mode, f"{each.uid}:{each.gid}", "" if each.size is None else str(each.size)
    return shown, *told, each.layer, names.get(each.owner, each.owner), each.origin


def bill(bundle: Bundle, platform: str | None) -> bytes:
    """The sealed bill of materials of one platform's image. Raises UsageError when it is not clear which."""
    there = building.chosen(bundle, ())
    if platform not in there and (platform or len(there) != 1):
        wrong = f"has no image for {platform}" if platform else "has a bill of materials for each platform"
        raise UsageError(f"{bundle.path.name} {wrong}", f"name one with --platform: {', '.join(there)}")
    return bundles.data(bundle, sbom.name(platform or there[0]))


def whole(bundle: Bundle) -> dict[str, Any]:
    """The manifest, as data, with the bundle's identity."""
    return {"identity": bundle.identity, "manifest": msgspec.to_builtins(bundle.manifest)}


def rows(values: Mapping[str, object]) -> list[tuple[str, str]]:
    """Names and values, those without a value left out."""
    return [(name, _text(value)) for name, value in values.items() if value not in (None, "", (), {}, False)]


def _text(value: object) -> str:
    if value is True:
        return "yes"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={text}" for name, text in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(_words(item) for item in value)
    return str(value)


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _service(bundle: Bundle) -> list[tuple[str, str]]:
    service = bundle.manifest.service
    return rows(
        {
            "name": service.name,
            "version": service.version,
            "language": service.language,
            "identity": bundle.identity,
            "start": _words(service.start),
            "port": service.port,
            "environment": service.environment,
            "user": service.user if _is_sealed(bundle) else f"{service.user} ({service.uid})",
            "state": service.state,
        }
    )


def _is_sealed(bundle: Bundle) -> bool:
    return any(each.sealed for each in bundle.manifest.images)


def _source(manifest: Manifest) -> list[tuple[str, str]]:
    source = manifest.source
    told = {"repository": source.repository, "commit": source.commit, "time": source.time}
    return rows({**told, "dirty": source.dirty, "release": source.release})


def _bases(manifest: Manifest) -> list[tuple[str, ...]]:
    return [(base.platform, base.reference, base.digest, base.role) for base in manifest.bases]


def _images(manifest: Manifest) -> list[tuple[str, ...]]:
    return [(image.platform, image.digest, _how(image)) for image in manifest.images]


def _how(image: Foretold) -> str:
    if not image.sealed:
        return "foretold"
    return f"sealed, built {'with' if image.network else 'without'} network"


def _layers(bundle: Bundle) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [
        (plan.platform, each.name, str(len(each.entries)), _sum(bundle, members((each,))))
        for plan in bundle.plans.images
        for each in plan.layers
    ]
    return found + [
        (image.platform, each.name, str(count), size(each.size))
        for image in bundle.manifest.images
        if image.sealed
        for each, count in building.counted(bundle, image)
    ]


def _dependencies(bundle: Bundle) -> list[tuple[str, ...]]:
    return [
        (d.name, d.version, d.group, ", ".join(d.platforms), d.license or "", _sum(bundle, [d.archive]), d.archive)
        for d in bundle.manifest.dependencies
    ]


def _sum(bundle: Bundle, names: Iterable[str]) -> str:
    return size(sum(bundle.members[name].size for name in names))


def _smoke(manifest: Manifest) -> list[tuple[str, str]]:
    declared = manifest.smoke.declared
    sidecars = tuple(f"{sidecar.reference}@{sidecar.digest}" for sidecar in manifest.smoke.sidecars)
    told = {"health": declared.health, "before": declared.before, "sidecars": sidecars}
    return rows({**told, "checks": _words(declared.checks), "untested": declared.untested})


def _publish(manifest: Manifest) -> list[tuple[str, str]]:
    publish = manifest.publish
    environments = {f"environment {name}": each.to for name, each in manifest.environments.items()}
    return rows({"to": publish.to, "tags": publish.tags, "moving": publish.moving, **environments})


def _tools(manifest: Manifest) -> list[tuple[str, str]]:
    tools = manifest.tools
    return rows({"cdaf": tools.cdaf, "assembler": tools.assembler, **tools.resolver})
