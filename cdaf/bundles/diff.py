"""What changed between two bundles: settings, dependencies, members, and their images down to every path."""

import functools
import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from cdaf import typed
from cdaf.bundles import bundle as bundles
from cdaf.bundles import owners
from cdaf.bundles.bundle import Bundle
from cdaf.bundles.manifest import Dependency, Foretold
from cdaf.errors import BundleError
from cdaf.images import building, image, listing, plan, sealed
from cdaf.images.compare import Blob, Change, View, changes, config, flat, shared
from cdaf.images.compare import images as compare_images

_APART = ("format", "dependencies", "images")  # compared on their own, or following from what is
_SHORT = len("sha256:") + 12


def compare(old: Bundle, new: Bundle) -> list[Change]:
    """Every difference, by kind and then by name; of images what was foretold and sealed, none is made for this."""
    found = [
        *changes("setting", _settings(old), _settings(new)),
        *changes("dependency", _dependencies(old), _dependencies(new)),
        *changes("file", _files(old), _files(new)),
    ]
    before, after = _views(old), _views(new)
    both = [platform for platform in before if platform in after]
    layers = [{key: value for key, value in _layers(each).items() if key[0] not in both} for each in (old, new)]
    found += changes("layer", *({" ".join(key): value for key, value in each.items()} for each in layers))
    told = [change for platform in both for change in compare_images(before[platform], after[platform])]
    return [*found, *shared(list(_owned(told, old, new)))]


def _views(bundle: Bundle) -> dict[str, View]:
    """The images as they were foretold, by platform; none without a listing of what they hold."""
    known = {each.platform: _told_by_plan(each) for each in bundle.plans.images}
    known |= {each.platform: _told_by_itself(bundle, each) for each in bundle.manifest.images if each.sealed}
    names = {each.platform: bundles.listing_name(each.platform) for each in bundle.manifest.images}
    return {
        each.platform: _view(each, *known[each.platform], bundles.data(bundle, names[each.platform]))
        for each in bundle.manifest.images
        if each.platform in known and names[each.platform] in bundle.members
    }


def _told_by_plan(wanted: plan.ImagePlan) -> tuple[str, dict[str, str]]:
    """Base and config of an image, as its plan has them."""
    return _pin(wanted.base.reference, wanted.base.digest), config(image.configured(wanted))


def _told_by_itself(bundle: Bundle, whole: Foretold) -> tuple[str, dict[str, str]]:
    """The same of an image that is sealed whole."""
    bases = [each for each in bundle.manifest.bases if (each.platform, each.role) == (whole.platform, "image")]
    base = _pin(bases[0].reference, bases[0].digest) if bases else ""
    own = sealed.config(building.contents(bundle), whole.platform, whole.digest)
    return base, config(typed.decode(own, dict[str, object]))


def _pin(reference: str, digest: str) -> str:
    return f"{reference}@{digest}" if digest else reference


def _view(foretold: Foretold, base: str, told: dict[str, str], rows: bytes) -> View:
    held = listing.decode(rows)
    if len(held) != len(foretold.layers):
        raise BundleError(f"the listing of {foretold.platform} is not of its layers", "package the service again")
    blobs = [
        Blob(each.name, each.digest, each.diff_id, each.size, functools.partial(tuple, inside))
        for each, inside in zip(foretold.layers, held, strict=True)
    ]
    return View(foretold.platform, foretold.digest, base, told, tuple(blobs))


def _owned(found: Sequence[Change], old: Bundle, new: Bundle) -> Iterator[Change]:
    """The same, each path with whom it belongs to, in the newer bundle where it is there."""
    names: dict[tuple[bool, str], dict[str, str]] = {}
    for each in found:
        if each.kind != "path":
            yield each
            continue
        key = bool(each.after), each.platforms[0]
        if key not in names:
            names[key] = _owners(new if each.after else old, each.platforms[0])
        yield msgspec.structs.replace(each, owner=names[key].get(each.name.strip("/"), ""))


def _owners(bundle: Bundle, platform: str) -> dict[str, str]:
    wanted = next((each for each in bundle.plans.images if each.platform == platform), None)
    if wanted is None:
        return {path.path.strip("/"): bundle.manifest.service.name for _, path in building.rows(bundle, platform)}
    known = {each.archive: each.name for each in owners.dependencies(bundle.manifest, wanted)}
    found = owners.paths(wanted.layers, wanted, building.contents(bundle), known)
    return {each.header.path: known.get(each.owner, bundle.manifest.service.name) for each in found}


def _settings(bundle: Bundle) -> dict[str, str]:
    """The manifest's values by dotted key."""
    data = msgspec.to_builtins(bundle.manifest)
    return dict(flat("", {key: value for key, value in data.items() if key not in _APART}))


def _dependencies(bundle: Bundle) -> dict[str, str]:
    """Versions by name; an archive that is not the same on all platforms is told with its digest."""
    found: dict[str, dict[str, str]] = {}
    for each in bundle.manifest.dependencies:
        found.setdefault(f"{each.name} ({each.group})", {})[each.archive] = _told(each)
    return {name: " ".join(dict.fromkeys(archives.values())) for name, archives in found.items()}


def _told(dependency: Dependency) -> str:
    return f"{dependency.version} {dependency.sha256[:12]}"


def _files(bundle: Bundle) -> dict[str, str]:
    """The service's own files and those of its checks, and native locks, by their bytes."""
    folders = ("app/", "smoke/", "locks/")
    return {name: f"sha256:{m.sha256}"[:_SHORT] for name, m in bundle.members.items() if name.startswith(folders)}


def _layers(bundle: Bundle) -> dict[tuple[str, str], str]:
    """Layers by platform and name, of images that were not foretold: what goes into one stands for what comes out."""
    return {(made.platform, each.name): _identity(each, bundle) for made in bundle.plans.images for each in made.layers}


def _identity(layer: plan.Layer, bundle: Bundle) -> str:
    held = {name: bundle.members[name].sha256 for name in plan.members((layer,))}
    return f"sha256:{hashlib.sha256(msgspec.json.encode((layer, held), order='sorted')).hexdigest()}"[:_SHORT]
