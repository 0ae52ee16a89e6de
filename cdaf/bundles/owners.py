"""Who owns each path of an image: the archive that it came from, or the service itself.

The service owns what no archive brings: its own files and archive, links, users, the folders that archives share.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

import msgspec

from cdaf.bundles.manifest import Dependency, Manifest
from cdaf.images import layer, plan
from cdaf.images.content import Contents
from cdaf.images.listing import folders
from cdaf.images.tarform import Header

SERVICE = "service"  # the layer that holds what is the service's own
_SUFFIXES = (".tar", ".gz", ".tgz", ".zip", ".whl", ".gem")


class Owned(msgspec.Struct, frozen=True):
    """One path of an image; `origin` is the member it came from, `owner` an archive, empty for the service itself."""

    header: Header
    layer: str
    origin: str
    owner: str


def dependencies(manifest: Manifest, wanted: plan.ImagePlan) -> tuple[Dependency, ...]:
    """The archives in the image that others made: what only checks need is left out, and so is the service itself."""
    inside = plan.members(wanted.layers) - own_archives(manifest, wanted)
    return tuple(each for each in manifest.dependencies if each.archive in inside)


def own_archives(manifest: Manifest, wanted: plan.ImagePlan) -> frozenset[str]:
    """The archives that the service itself became."""
    own = plan.members(tuple(each for each in wanted.layers if each.name == SERVICE))
    return frozenset(each.archive for each in manifest.dependencies if each.built_from and each.archive in own)


def paths(
    layers: Sequence[plan.Layer], wanted: plan.ImagePlan, contents: Contents, archives: Iterable[str]
) -> list[Owned]:
    """Every path that these layers of the image hold, once, in order of path; of two the later one counts."""
    dirs = plan.folders(wanted.layers)
    found: dict[str, Owned] = {}
    stems = {stem(archive): archive for archive in archives}
    for each in layers:
        for header, origin in layer.paths(each, contents, dirs):
            if header.kind != "dir" or header.path not in found:
                found[header.path] = Owned(header, each.name, origin, _owner(origin, stems))
    _adopt(found)
    return list(_with_folders([found[path] for path in sorted(found)], dirs))


def stem(archive: str) -> str:
    """An archive's file name without what says how it is packed."""
    name = PurePosixPath(archive).name
    while (suffix := PurePosixPath(name).suffix) in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def locations(owned: Sequence[Owned]) -> dict[str, list[str]]:
    """By owner: the topmost paths below which everything is its own, each with its leading slash."""
    alone = _exclusive(owned)
    found: dict[str, dict[str, None]] = {}
    for each in owned:
        if each.header.kind != "dir":
            top = each.header.path
            for folder in folders(each.header.path):
                if alone[folder] == {each.owner} and each.owner:
                    top = folder
            found.setdefault(each.owner, {})[f"/{top}"] = None
    return {owner: sorted(those) for owner, those in sorted(found.items())}


def _owner(origin: str, stems: Mapping[str, str]) -> str:
    """The archive that a member is, or was generated for: its stem is then part of the member's name."""
    member = origin.partition("!")[0]
    if member.startswith("generated/"):
        named = [stems[part] for part in (*member.split("/")[1:-1], stem(member)) if part in stems]
        return named[0] if named else ""
    return member if member in stems.values() else ""


def _adopt(found: dict[str, Owned]) -> None:
    """A generated file that several archives share belongs, at each place, to the archive whose folder it is in."""
    beside: dict[str, set[str]] = {}
    for path, each in found.items():
        if each.owner:
            beside.setdefault(path.rpartition("/")[0], set()).add(each.owner)
    for path, each in found.items():
        owners = beside.get(path.rpartition("/")[0], set())
        if not each.owner and each.origin.startswith("generated/") and len(owners) == 1:
            found[path] = msgspec.structs.replace(each, owner=next(iter(owners)))


def _exclusive(owned: Sequence[Owned]) -> dict[str, set[str]]:
    """By folder: who owns anything below it."""
    found: dict[str, set[str]] = {}
    for each in owned:
        if each.header.kind != "dir":
            for folder in folders(each.header.path):
                found.setdefault(folder, set()).add(each.owner)
    return found


def _with_folders(owned: Sequence[Owned], declared: Collection[str]) -> Iterator[Owned]:
    """Folders belong to the one that owns all below them."""
    alone = _exclusive(owned)
    for each in owned:
        path, owners = each.header.path, alone.get(each.header.path, set())
        if each.header.kind == "dir" and path not in declared and len(owners) == 1:
            yield msgspec.structs.replace(each, owner=next(iter(owners)))
        else:
            yield each
