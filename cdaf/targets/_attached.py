"""What is published with an image and refers to it: its bill of materials, and the link to its bundle."""

import msgspec

from cdaf.bundles import bundle, sbom
from cdaf.images import oci
from cdaf.images.artifacts import Artifact
from cdaf.images.oci import Descriptor
from cdaf.targets import Release

BUNDLE = "application/vnd.cdaf.bundle.v1+json"
IDENTITY = "io.cdaf.bundle"  # the annotation that shows a bundle's identity in a listing


def attached(release: Release) -> tuple[tuple[Descriptor, Artifact], ...]:
    """Each artifact with the manifest that it refers to: a platform's, or what the release publishes as a whole."""
    data, media_type, digest = oci.published(release.images)
    members = release.bundle.members
    held = [(each, name) for each in release.images if (name := sbom.name(each.platform)) in members]
    return (
        *((_subject(each.manifest), _bill(release, name)) for each, name in held),
        (Descriptor(media_type, digest, len(data)), _link(release)),
    )


def _subject(manifest: bytes) -> Descriptor:
    return Descriptor(oci.MANIFEST, oci.digest_of(manifest), len(manifest))


def _bill(release: Release, name: str) -> Artifact:
    """The bill of materials; it names no commit, so that one document serves many, and its listing does."""
    source, version = release.bundle.manifest.source, release.bundle.manifest.service.version
    told = {"created": source.time, "revision": source.commit or "", "version": version}
    notes = {f"org.opencontainers.image.{key}": value for key, value in told.items() if value}
    return Artifact(sbom.MEDIA_TYPE, sbom.MEDIA_TYPE, bundle.data(release.bundle, name), notes)


def _link(release: Release) -> Artifact:
    """Which bundle the image was built from; the image cannot say it, since the bundle holds the image's digest."""
    manifest = release.bundle.manifest
    told = {
        "bundle": release.bundle.identity,
        "name": manifest.service.name,
        "version": manifest.service.version,
        **({"commit": manifest.source.commit} if manifest.source.commit else {}),
    }
    return Artifact(BUNDLE, BUNDLE, msgspec.json.encode(told), {IDENTITY: release.bundle.identity})
