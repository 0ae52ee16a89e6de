"""What is in a bundle, as tables: service, source, bases, dependencies, layers, and every path of the image."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from cdaf.bundles.bundle import Bundle
from cdaf.bundles.manifest import Manifest
from cdaf.images import building, layer
from cdaf.images.plan import members
from cdaf.terminal.console import Table, size


def tables(bundle: Bundle) -> list[Table]:
    """Everything worth a look, in the order of interest."""
    manifest = bundle.manifest
    return [
        Table("Service", ("", ""), _service(bundle)),
        Table("Source", ("", ""), _source(manifest)),
        Table("Base", ("platform", "reference", "digest", "for"), _bases(manifest)),
        Table("Image", ("platform", "digest", ""), _images(manifest)),
        Table("Layers", ("platform", "layer", "entries", "bytes"), _layers(bundle)),
        Table("Dependencies", ("name", "version", "group", "platforms", "bytes", "archive"), _dependencies(bundle)),
        Table("Smoke test", ("", ""), _smoke(manifest)),
        Table("Publish", ("", ""), _publish(manifest)),
        Table("Made by", ("", ""), _tools(manifest)),
    ]


def paths(bundle: Bundle) -> dict[str, dict[str, str]]:
    """By platform: every path that the plan places in the image, and the member that it comes from."""
    held = building.contents(bundle)
    return {
        plan.platform: {f"/{path}": origin for each in plan.layers for path, origin in layer.paths(each, held).items()}
        for plan in bundle.plans.images
    }


def path_tables(bundle: Bundle) -> list[Table]:
    """The paths of each platform's image; archives are named with the member inside, `archive!member`."""
    return [
        Table(f"Files of {platform}", ("path", "from"), sorted(found.items()))
        for platform, found in paths(bundle).items()
    ]


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
            "user": f"{service.user} ({service.uid})",
            "state": service.state,
        }
    )


def _source(manifest: Manifest) -> list[tuple[str, str]]:
    source = manifest.source
    told = {"repository": source.repository, "commit": source.commit, "time": source.time}
    return rows({**told, "dirty": source.dirty, "release": source.release})


def _bases(manifest: Manifest) -> list[tuple[str, ...]]:
    return [(base.platform, base.reference, base.digest, base.role) for base in manifest.bases]


def _images(manifest: Manifest) -> list[tuple[str, ...]]:
    return [(image.platform, image.digest, "sealed" if image.sealed else "foretold") for image in manifest.images]


def _layers(bundle: Bundle) -> list[tuple[str, ...]]:
    return [
        (plan.platform, each.name, str(len(each.entries)), _sum(bundle, members((each,))))
        for plan in bundle.plans.images
        for each in plan.layers
    ]


def _dependencies(bundle: Bundle) -> list[tuple[str, ...]]:
    return [
        (d.name, d.version, d.group, ", ".join(d.platforms), _sum(bundle, [d.archive]), d.archive)
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
