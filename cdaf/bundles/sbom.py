"""The bill of materials of each image: a CycloneDX 1.6 document that names what is in it and which paths it owns.

What others made is described by the CycloneDX library, which takes longer to import than a package to seal; so that
is kept by its inputs, and the service itself is filled in afterwards. Nothing in it changes with a commit that changes
no dependency: a registry keeps one document for many images, and the referrer says which image it is for.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from cdaf import __version__, store, typed, versions
from cdaf.bundles import owners
from cdaf.bundles.manifest import Dependency, Foretold, Manifest
from cdaf.images import plan
from cdaf.images.content import Contents
from cdaf.images.listing import folders
from cdaf.images.plan import ImagePlan, Plans

MEDIA_TYPE = "application/vnd.cyclonedx+json"
ROOT = "service"  # the bom-ref of the service itself
_KIND = "sbom"
_REVISION = 1  # of what is kept


class Parts(msgspec.Struct, frozen=True):
    """What does not change with a commit: the library's document, and which paths are whose.

    `taken` are the locations of dependencies, `rest` the paths beside them that are the service's.
    """

    document: dict[str, Any]
    taken: tuple[str, ...]
    rest: tuple[str, ...]


def name(platform: str) -> str:
    """The member that holds the bill of materials of a platform's image."""
    return f"generated/sbom/{platform.replace('/', '-')}.cdx.json"


def members(manifest: Manifest, plans: Plans, contents: Contents) -> dict[str, bytes]:
    """The documents of all images, by member name."""
    found = {name(each.platform): document(manifest, each, contents) for each in plans.images}
    return found | {name(each.platform): _of_sealed(manifest, each) for each in manifest.images if each.sealed}


def _of_sealed(manifest: Manifest, image: Foretold) -> bytes:
    """The document of an image that is sealed whole: what it is and stands on; nobody says what it was built from."""
    bases = [each for each in manifest.bases if (each.platform, each.role) == (image.platform, "image")]
    base = plan.BasePin(bases[0].reference, bases[0].digest) if bases else plan.BasePin("scratch", "")
    config = plan.Config(manifest.service.start, {}, manifest.service.user, "/", manifest.service.port, {})
    made = _document(manifest, ImagePlan(image.platform, base, (), config, manifest.source.time), {})
    component = made["metadata"]["component"]
    del component["evidence"]
    component["hashes"] = [{"alg": "SHA-256", "content": image.digest.partition(":")[2]}]
    component["properties"].append({"name": "cdaf:sealed", "value": image.digest})
    made["compositions"] = [
        {
            "aggregate": "unknown",
            "assemblies": sorted(ref for each in made["compositions"] for ref in each["assemblies"]),
        }
    ]
    return _encoded(made)


def document(manifest: Manifest, wanted: ImagePlan, contents: Contents) -> bytes:
    """The document of one image, one line of JSON: the same bytes for the same bundle, without clock or chance."""
    return _encoded(_document(manifest, wanted, contents))


def _document(manifest: Manifest, wanted: ImagePlan, contents: Contents) -> dict[str, Any]:
    parts = _parts(manifest, wanted, contents)
    made = parts.document
    del made["metadata"]["timestamp"]
    _describe_service(made["metadata"]["component"], manifest, wanted)
    places = _own_locations(parts, wanted, contents)
    made["metadata"]["component"]["evidence"] = {"occurrences": [{"location": each} for each in places]}
    made["compositions"] = _compositions(made.get("components", ()))
    return made


def _encoded(made: dict[str, Any]) -> bytes:
    del made["serialNumber"]
    made["serialNumber"] = _serial(msgspec.json.encode(made, order="sorted"))
    return msgspec.json.encode(made, order="sorted") + b"\n"


def _serial(data: bytes) -> str:
    """A UUID that follows from the document (RFC 9562, version 8)."""
    found = bytearray(hashlib.sha256(data).digest()[:16])
    found[6], found[8] = found[6] & 0x0F | 0x80, found[8] & 0x3F | 0x80
    text = found.hex()
    return f"urn:uuid:{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _parts(manifest: Manifest, wanted: ImagePlan, contents: Contents) -> Parts:
    others = owners.dependencies(manifest, wanted)
    own = [each for each in manifest.dependencies if each.archive in owners.own_archives(manifest, wanted)]
    layers = [each for each in wanted.layers if each.name != owners.SERVICE]
    named = manifest.service.name, manifest.service.license, manifest.source.repository
    service = (named, [(each.license, each.requires) for each in own])
    held = {member: contents[member].sha256 for member in plan.members(tuple(layers))}
    told = (_REVISION, __version__, wanted.platform, wanted.base, service, others, layers, held)
    key = hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()
    kept = store.recall(_KIND, key)
    if kept is None:
        kept = msgspec.json.encode(_made(manifest, wanted, contents, others, own, layers))
        store.remember(_KIND, key, kept)
    return typed.decode(kept, Parts)


def _made(
    manifest: Manifest,
    wanted: ImagePlan,
    contents: Contents,
    others: Sequence[Dependency],
    own: Sequence[Dependency],
    layers: Sequence[plan.Layer],
) -> Parts:
    from cdaf.bundles import cyclonedx

    found = owners.paths(layers, wanted, contents, (each.archive for each in others))
    places = owners.locations(found)
    rest = places.pop("", [])
    made = cyclonedx.document(manifest, wanted.base, others, own, places)
    return Parts(made, tuple(each for those in places.values() for each in those), tuple(rest))


def _describe_service(component: dict[str, Any], manifest: Manifest, wanted: ImagePlan) -> None:
    service = manifest.service
    number = versions.parse(service.version).number
    own = [each for each in manifest.dependencies if each.archive in owners.own_archives(manifest, wanted)]
    component["version"] = number
    plain = f"pkg:generic/{quote(service.name)}@{quote(number, safe='')}"
    component["purl"] = own[0].purl if own else plain
    archives = sorted(("cdaf:archive", each.archive) for each in own)
    component["properties"] = [
        {"name": key, "value": value} for key, value in [*archives, ("cdaf:platform", wanted.platform)]
    ]


def _own_locations(parts: Parts, wanted: ImagePlan, contents: Contents) -> list[str]:
    """Where the service's own files are; within another's folder each stands for itself, for the nearest one counts."""
    layers = [each for each in wanted.layers if each.name == owners.SERVICE]
    found = owners.paths(layers, wanted, contents, ())
    own = [f"/{each.header.path}" for each in found if each.header.kind != "dir"]
    dirs = {f"/{each.path.strip('/')}" for one in wanted.layers for each in one.entries if isinstance(each, plan.Dir)}
    taken = set(parts.taken)
    return sorted({*dirs, *(each for each in [*parts.rest, *own] if not _is_below(each, dirs, taken))})


def _is_below(path: str, dirs: set[str], taken: set[str]) -> bool:
    """Whether the nearest of both is a folder of the service's."""
    nearest = next((folder for folder in folders(path) if folder in dirs or folder in taken), None)
    return nearest in dirs


def _compositions(components: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """That what the base holds is not listed here, and all else is."""
    refs: dict[str, list[str]] = {"complete": [ROOT], "unknown": []}
    for each in components:
        refs["unknown" if each["type"] == "container" else "complete"].append(each["bom-ref"])
    return [{"aggregate": how, "assemblies": sorted(those)} for how, those in refs.items() if those]
