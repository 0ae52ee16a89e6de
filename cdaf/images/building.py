"""From an opened bundle to its images, held against what was foretold when it was sealed."""

from collections.abc import Sequence

from cdaf import ASSEMBLER_REVISION
from cdaf.bundles.bundle import Bundle
from cdaf.errors import ImageError, UsageError, faults
from cdaf.images import image, plan
from cdaf.images.content import Content, Contents
from cdaf.images.oci import Image


def contents(opened: Bundle) -> Contents:
    """The bundle's members, by name, to be read in place."""
    return {
        name: Content(member.sha256, member.size, opened.path, member.offset, stamp=opened.stamp)
        for name, member in opened.members.items()
    }


def images(opened: Bundle, platforms: Sequence[str] = ()) -> tuple[Image, ...]:
    """The image of every platform, or of those named.

    Raises ImageError when one is not the image foretold, UsageError for a platform that the bundle does not have.
    """
    _honour(opened)
    members = contents(opened)
    made = tuple(image.assemble(each, members) for each in chosen(opened, platforms))
    foretold = {each.platform: each.digest for each in opened.manifest.images}
    wrong = [
        f"{each.platform} is {each.digest}, and {foretold[each.platform]} was foretold"
        for each in made
        if each.platform in foretold and foretold[each.platform] != each.digest
    ]
    if wrong:
        raise ImageError(faults(f"{opened.path.name} builds another image", wrong), "report this as a fault of cdaf")
    return made


def checks(opened: Bundle, tested: Image) -> Image | None:
    """The image that the checks of a platform run in, None when the service has no checks of its own."""
    for each in opened.plans.smoke:
        if each.platform == tested.platform:
            return image.assemble_smoke(each, tested, contents(opened))
    return None


def chosen(opened: Bundle, platforms: Sequence[str]) -> tuple[plan.ImagePlan, ...]:
    """The plans of the platforms named, or all of them."""
    known = {each.platform: each for each in opened.plans.images}
    unknown = [platform for platform in platforms if platform not in known]
    if unknown:
        raise UsageError(
            f"{opened.path.name} has no image for {', '.join(unknown)}, only for {', '.join(known)}",
            "name one of those with --platform",
        )
    return tuple(known[platform] for platform in (platforms or known))


def _honour(opened: Bundle) -> None:
    wanted = opened.manifest.tools.assembler
    if wanted != ASSEMBLER_REVISION:
        raise ImageError(
            f"{opened.path.name} was planned for assembler revision {wanted}, and this cdaf has {ASSEMBLER_REVISION}",
            f"use cdaf {opened.manifest.tools.cdaf}, or package again",
        )
