"""Dependencies and base in the CycloneDX library's own model; only imported when a document has to be made."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.component_evidence import ComponentEvidence, Occurrence
from cyclonedx.model.license import License
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from cdaf import __version__
from cdaf.bundles.manifest import Dependency, Manifest
from cdaf.images import oci
from cdaf.images.plan import BasePin
from cdaf.registries import reference

_ROOT = "service"
_HASHES = {
    "sha256": HashAlgorithm.SHA_256,
    "sha384": HashAlgorithm.SHA_384,
    "sha512": HashAlgorithm.SHA_512,
    "sha3_256": HashAlgorithm.SHA3_256,
    "sha3_384": HashAlgorithm.SHA3_384,
    "sha3_512": HashAlgorithm.SHA3_512,
    "blake2b": HashAlgorithm.BLAKE2B_512,
}


def document(
    manifest: Manifest,
    base: BasePin,
    others: Sequence[Dependency],
    own: Sequence[Dependency],
    places: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """All but what is the service's own, as JSON; `places` are the locations of each archive.

    Serial number and time have to be set: those in here mean nothing.
    """
    root = _service(manifest, own)
    made = [(each, _component(each, places.get(each.archive, ()))) for each in others]
    known: dict[str, list[Component]] = {}  # some languages have several versions of one name
    for each, component in made:
        known.setdefault(each.name, []).append(component)
    bases = _base(base)
    tool = Component(name="cdaf", version=__version__, type=ComponentType.APPLICATION)
    metadata = BomMetaData(
        component=root, tools=ToolRepository(components=[tool]), timestamp=datetime.fromtimestamp(0, UTC)
    )
    bom = Bom(components=[*(one for _, one in made), *bases], metadata=metadata, serial_number=UUID(int=0))
    for each, component in made:
        bom.register_dependency(component, [one for needed in each.requires for one in known.get(needed, ())])
    direct = {needed for each in own for needed in each.requires}
    # Nobody is left without one who needs it, so that the graph can be walked from its root.
    heads = set(known) - {needed for each in others for needed in each.requires}
    bom.register_dependency(root, [*(one for name in direct | heads for one in known.get(name, ())), *bases])
    found: dict[str, Any] = _sorted(msgspec.json.decode(JsonV1Dot6(bom).output_as_string()))
    return found


def _sorted(value: Any) -> Any:
    """The library leaves some lists in the order of a set; none of them means anything by its order."""
    if isinstance(value, dict):
        return {key: _sorted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted(map(_sorted, value), key=lambda each: msgspec.json.encode(each, order="sorted"))
    return value


def _service(manifest: Manifest, own: Iterable[Dependency]) -> Component:
    repository = manifest.source.repository
    where = [ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(repository))] if repository else []
    return Component(
        name=manifest.service.name,
        type=ComponentType.APPLICATION,
        bom_ref=_ROOT,
        licenses=[each for one in own for each in _licenses(one.license)] or _licenses(manifest.service.license),
        external_references=where,
    )


def _component(told: Dependency, places: Sequence[str]) -> Component:
    return Component(
        name=told.name,
        version=told.version,
        type=ComponentType.LIBRARY,
        bom_ref=told.purl,
        purl=PackageURL.from_string(told.purl),
        hashes=_hashes(told),
        licenses=_licenses(told.license),
        external_references=list(_references(told)),
        evidence=ComponentEvidence(occurrences=[Occurrence(location=each) for each in places]) if places else None,
        properties=[Property(name="cdaf:archive", value=told.archive)],
    )


def _licenses(told: str | None) -> list[License]:
    return [LicenseFactory().make_from_string(told)] if told else []


def _hashes(told: Dependency) -> list[HashType]:
    """Ours, and the lock's where it is another one and CycloneDX knows it."""
    algorithm, _, value = (told.hash or "").partition(":")
    found = {"sha256": told.sha256, **({algorithm: value} if algorithm in _HASHES else {})}
    return [HashType(alg=_HASHES[name], content=content) for name, content in found.items()]


def _references(told: Dependency) -> Iterator[ExternalReference]:
    if told.url:
        yield ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(told.url))
    place, _, digest = (told.built_from or "").partition("#")
    algorithm, _, value = digest.partition("=")
    if place.startswith("git+"):
        yield ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(told.built_from or ""))
    elif "://" in place:
        hashes = [HashType(alg=_HASHES[algorithm], content=value)] if algorithm in _HASHES else []
        yield ExternalReference(type=ExternalReferenceType.SOURCE_DISTRIBUTION, url=XsUri(place), hashes=hashes)


def _base(pin: BasePin) -> list[Component]:
    """The base as one component, by its digest; what it holds is its maker's to list."""
    if not pin.digest:
        return []
    named = reference.tagged(reference.parse(pin.reference))
    where = f"{named.registry}/{named.repository}"
    name = named.repository.rpartition("/")[2]
    qualifiers = {"repository_url": where, **({"tag": named.tag} if named.tag else {})}
    purl = PackageURL(type="oci", name=name, version=pin.digest, qualifiers=qualifiers)
    return [
        Component(
            name=where,
            version=named.tag or pin.digest,
            type=ComponentType.CONTAINER,
            bom_ref="base",
            purl=purl,
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=oci.hexed(pin.digest))],
        )
    ]
