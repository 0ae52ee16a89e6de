"""What a bundle of format 1 must satisfy beyond being a canonical zip: folders, SHA256SUMS, whole references."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from cdaf.bundles import zipform
from cdaf.bundles.manifest import Manifest
from cdaf.bundles.zipread import Found
from cdaf.images import plan, sealed
from cdaf.images.plan import Plans

LAUNCHER, MANIFEST, PLAN, SUMS = "__main__.py", "manifest.toml", "plan.json", "SHA256SUMS"
OWN = (LAUNCHER, MANIFEST, PLAN, SUMS)
FOLDERS = ("app", "deps", "locks", "generated", "smoke", "images")

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*")  # OCI distribution-spec, pulling manifests
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]*")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(?:/[a-z0-9]+)?")


def place_faults(names: Iterable[str]) -> list[str]:
    """Members outside the folders of format 1."""
    return [
        f"{zipform.shown(name)}: not in one of the folders {', '.join(FOLDERS)}"
        for name in names
        if name not in OWN and name.partition("/")[0] not in FOLDERS
    ]


def encode_sums(digests: Mapping[str, str]) -> bytes:
    """SHA256SUMS as `sha256sum -c` of GNU coreutils reads it, sorted by name; `digests` are hex SHA-256 by name."""
    lines = (f"{digests[name]}  {name}\n" for name in sorted(digests, key=zipform.raw))
    return "".join(lines).encode("utf-8", "surrogateescape")


def sums_faults(listed: Mapping[str, str], found: Sequence[tuple[str, str]]) -> list[str]:
    """How what SHA256SUMS lists and the members found (name, hex SHA-256) differ, SHA256SUMS itself left out."""
    present = {name for name, _ in found}
    wrong = [f"{zipform.shown(name)}: missing" for name in listed if name not in present]
    for name, sha256 in found:
        if name not in listed:
            wrong.append(f"{zipform.shown(name)}: not listed in {SUMS}")
        elif listed[name] != sha256:
            wrong.append(f"{zipform.shown(name)}: changed after sealing")
    return wrong


def decode_sums(data: bytes) -> tuple[dict[str, str], list[str]]:
    """What SHA256SUMS lists, hex SHA-256 by name, and what is wrong with its form."""
    # Not splitlines(): names may hold characters that Python takes for line ends.
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    read = [_LINE.fullmatch(line) for line in lines[:-1]]
    wrong = [f"{SUMS}: line {number} is malformed" for number, line in enumerate(read, 1) if line is None]
    listed = {line[2]: line[1] for line in read if line}
    if not wrong and encode_sums(listed) != data:
        wrong.append(f"{SUMS}: not sorted, a name listed twice, or no newline at the end")
    if SUMS in listed:
        wrong.append(f"{SUMS}: lists itself")
    return listed, wrong


def reference_faults(manifest: Manifest, plans: Plans, names: Collection[str]) -> list[str]:
    """Members that the manifest or the plans name and the bundle does not hold."""
    layers = [layer for image in plans.images for layer in image.layers]
    layers += [layer for image in plans.smoke for layer in image.layers]
    planned = plan.members(tuple(layers))
    wrong = [f"{PLAN}: names {zipform.shown(name)}, which is missing" for name in sorted(planned) if name not in names]
    archives = [(f"dependency {one.name} {one.version}", one.archive) for one in manifest.dependencies]
    compose = [("compose file", name) for name in manifest.smoke.compose]
    return wrong + [
        f"{MANIFEST}: {zipform.shown(what)}: {zipform.shown(name)} is missing"
        for what, name in (*archives, *compose, *_sealed(manifest))
        if name not in names
    ]


def _sealed(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What a bundle holds of images that are sealed whole, as far as the manifest names it."""
    for each in manifest.images:
        if each.sealed:
            yield f"image of {each.platform}", sealed.INDEX
            for digest in (each.digest, *(one.digest for one in each.layers)):
                yield f"image of {each.platform}", sealed.member(digest)


def image_faults(manifest: Manifest, read: Callable[[str], bytes | None], members: Mapping[str, Found]) -> list[str]:
    """In what images that are sealed whole are not those of the manifest; `read` gives members that are intact."""
    sizes = {name: each.size for name, each in members.items()}
    digests = {each.platform: each.digest for each in manifest.images if each.sealed}
    return [zipform.shown(fault) for fault in sealed.faults_of(read, digests, sizes)] if digests else []


def form_faults(manifest: Manifest, plans: Plans) -> list[str]:
    """Names and digests that are not of their form: a cache, a record or an engine would take them for a path."""
    pins = [each.base for each in plans.images] + [each.base for each in plans.smoke if each.base is not None]
    digests = {pin.digest for pin in pins if pin.digest}
    digests |= {each.digest for each in manifest.bases if each.digest or each.reference != "scratch"}
    digests |= {each.digest for each in manifest.images}
    digests |= {told for each in manifest.images for one in each.layers for told in (one.digest, one.diff_id)}
    digests |= {each.digest for each in manifest.smoke.sidecars}
    platforms = [each.platform for each in plans.images]
    platforms += [each.platform for each in manifest.images if each.sealed]
    named = {*platforms, *(each.platform for each in plans.smoke)}
    service = manifest.service
    return [
        *_odd(f"{MANIFEST}: service.name", [service.name], _NAME),
        *_odd(f"{MANIFEST}: service.version", [service.version], _VERSION),
        *_odd("pin", sorted(digests), _DIGEST),
        *_odd(f"{PLAN}: platform", sorted(named), _PLATFORM),
        *([f"{PLAN}: a platform has two images"] if len(set(platforms)) < len(platforms) else []),
    ]


def _odd(what: str, values: Iterable[str], form: re.Pattern[str]) -> Iterator[str]:
    for value in values:
        if not form.fullmatch(value):
            yield f"{what}: {zipform.shown(value)} is not of its form"


def archive_faults(manifest: Manifest, digests: Mapping[str, str]) -> list[str]:
    """Dependencies whose archive is there with another SHA-256 than the manifest's, and blobs of images with another
    than their name's; `digests` are hex, by name."""
    wrong = [
        f"{zipform.shown(name)}: holds other bytes than its name says"
        for name, sha256 in digests.items()
        if name.startswith(sealed.BLOBS) and name.removeprefix(sealed.BLOBS) != sha256
    ]
    return wrong + [
        f"{MANIFEST}: dependency {zipform.shown(f'{one.name} {one.version}')}: "
        f"{zipform.shown(one.archive)} has another SHA-256"
        for one in manifest.dependencies
        if digests.get(one.archive, one.sha256) != one.sha256
    ]
