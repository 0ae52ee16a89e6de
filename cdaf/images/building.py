"""From an opened bundle to its images, held against what was foretold when it was sealed."""

from collections.abc import Callable, Sequence

import msgspec

from cdaf import ASSEMBLER_REVISION
from cdaf.bundles import bundle, manifest
from cdaf.bundles.bundle import Bundle
from cdaf.bundles.manifest import Foretold
from cdaf.errors import BundleError, ImageError, UsageError, faults
from cdaf.images import image, layers, listing, plan, sealed
from cdaf.images.content import Content, Contents
from cdaf.images.listing import Row
from cdaf.images.oci import Image, Layer


def contents(opened: Bundle) -> Contents:
    """The bundle's members, by name, to be read in place."""
    return {
        name: Content(member.sha256, member.size, opened.path, member.offset, stamp=opened.stamp)
        for name, member in opened.members.items()
    }


def images(
    opened: Bundle, platforms: Sequence[str] = (), written: Callable[[Layer], None] = lambda _: None
) -> tuple[Image, ...]:
    """The image of every platform, or of those named; `written` is told of each layer that was not in the cache.

    Raises ImageError when one is not the image foretold, UsageError for a platform that the bundle does not have.
    """
    _honour(opened)
    members = contents(opened)
    foretold = {each.platform: each for each in opened.manifest.images}
    plans = {each.platform: each for each in opened.plans.images}
    made = tuple(
        _sealed(opened, foretold[each], members, written)
        if each not in plans
        else image.assemble(plans[each], members, _promises(foretold.get(each)), written)
        for each in chosen(opened, platforms)
    )
    wrong = [
        fault
        for each in made
        if each.platform in foretold and foretold[each.platform].digest != each.digest
        for fault in _differences(opened, foretold[each.platform], each)
    ]
    if wrong:
        raise ImageError(faults(f"{opened.path.name} builds another image", wrong), "report this as a fault of cdaf")
    return made


def _promises(foretold: Foretold | None) -> tuple[layers.Promise, ...]:
    told = foretold.layers if foretold else ()
    return tuple(layers.Promise(each.digest, each.diff_id, each.size) for each in told)


def _differences(opened: Bundle, foretold: Foretold, made: Image) -> list[str]:
    """Why an image is not the one foretold: which layers are others, and which of their files."""
    start = len(made.layers) - len(foretold.layers)
    own = list(zip(foretold.layers, made.layers[start:], strict=False))
    found = [f"{made.platform} is {made.digest}, and {foretold.digest} was foretold"]
    wrong = [number for number, (old, new) in enumerate(own) if old.digest != new.digest]
    if start < 0 or not wrong:
        return [*found, f"{made.platform}: its layers are those foretold; its config or its base is another"]
    name = bundle.listing_name(made.platform)
    rows = listing.decode(bundle.data(opened, name)) if name in opened.members else ()
    for number in wrong:
        old, new = own[number]
        label = f"{made.platform}: layer {old.name}"
        if old.diff_id == new.diff_id:
            found.append(f"{label} holds what was foretold, compressed otherwise: another version of the compressor")
        elif number < len(rows) and new.path is not None:
            why = listing.differences(rows[number], listing.read(new.path)) or ["its tar is written otherwise"]
            found += [f"{label}: {each}" for each in why]
    return found


def rows(opened: Bundle, platform: str) -> list[tuple[manifest.Layer, Row]]:
    """Each path of an image above its base, once, with the layer that brings it: of two the later one counts."""
    found: dict[str, tuple[manifest.Layer, Row]] = {}
    (told,) = [each for each in opened.manifest.images if each.platform == platform]
    for layer, held in zip(told.layers, _listing(opened, platform), strict=True):
        for path in {path for row in held for path in listing.hidden(row.path, found)}:
            del found[path]
        found |= {row.path: (layer, row) for row in held if not listing.is_mark(row.path)}
    return [found[path] for path in sorted(found)]


def counted(opened: Bundle, told: Foretold) -> list[tuple[manifest.Layer, int]]:
    """The layers of an image above its base, each with the number of its entries."""
    held = _listing(opened, told.platform)
    return [(layer, len(rows)) for layer, rows in zip(told.layers, held, strict=True)]


def _listing(opened: Bundle, platform: str) -> tuple[tuple[Row, ...], ...]:
    found = listing.decode(bundle.data(opened, bundle.listing_name(platform)))
    told = next(each for each in opened.manifest.images if each.platform == platform)
    if len(found) != len(told.layers):
        raise BundleError(f"the listing of {platform} is not of its layers", "package the service again")
    return found


def checks(opened: Bundle, tested: Image) -> Image | None:
    """The image that the checks of a platform run in, None when the service has no checks of its own."""
    for each in opened.plans.smoke:
        if each.platform == tested.platform:
            return image.assemble_smoke(each, tested, contents(opened))
    return None


def _sealed(opened: Bundle, told: Foretold, members: Contents, written: Callable[[Layer], None]) -> Image:
    """An image that the bundle holds whole, standing on the base that the manifest tells."""
    names = {each.digest: each.name for each in told.layers}
    found = sealed.read(members, told.platform, told.digest, names, written)
    bases = [each for each in opened.manifest.bases if (each.platform, each.role) == (told.platform, "image")]
    pin = plan.BasePin(bases[0].reference, bases[0].digest) if bases else None
    return msgspec.structs.replace(found, base=pin)


def chosen(opened: Bundle, platforms: Sequence[str]) -> tuple[str, ...]:
    """The platforms named, or all that the bundle has an image for. Raises UsageError for any other."""
    known = dict.fromkeys(
        [each.platform for each in opened.plans.images]
        + [each.platform for each in opened.manifest.images if each.sealed]
    )
    unknown = [platform for platform in platforms if platform not in known]
    if unknown:
        raise UsageError(
            f"{opened.path.name} has no image for {', '.join(unknown)}, only for {', '.join(known)}",
            "name one of those with --platform",
        )
    return tuple(platforms or known)


def _honour(opened: Bundle) -> None:
    wanted = opened.manifest.tools.assembler
    if wanted != ASSEMBLER_REVISION:
        raise ImageError(
            f"{opened.path.name} was planned for assembler revision {wanted}, and this cdaf has {ASSEMBLER_REVISION}",
            f"use cdaf {opened.manifest.tools.cdaf}, or package again",
        )
