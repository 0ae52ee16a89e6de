"""cdaf publish"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cdaf import progress
from cdaf.terminal import console, options

if TYPE_CHECKING:
    from cdaf.targets import Publication


@click.command()
@options.bundle
@options.targets
@options.config
@options.record
@click.option(
    "--join",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The record of another machine that tested this bundle. May be repeated.",
)
@options.json
def command(file: Path, to: tuple[str, ...], config: Path | None, record: Path | None, join: tuple[Path, ...]) -> None:
    """Publish the image of the bundle FILE, and print its references by digest.

    The release record must say that this very digest has passed its smoke test; an untested one is refused.
    """
    from cdaf import releasing, targets
    from cdaf.bundles import bundle
    from cdaf.images import building

    opened = bundle.open(file)
    destinations = targets.parse(to, releasing.manifest(opened, config))
    with progress.step("image"):
        images = building.images(opened)
    with progress.step("publish"):
        journal = releasing.join(releasing.journal(opened, images, record), join)
        done = releasing.publish(opened, images, destinations, journal)
    tell(done)


def tell(done: "Sequence[Publication]") -> None:
    """Print where an image stands now, and say what can be done with it there."""
    for each in done:
        # The engine calls an image by an id of its own; all others by the digest that was tested.
        known = "" if each.digest.partition(":")[2] in each.reference else f", its own name for {each.digest}"
        progress.note(f"{each.target}: {each.reference} ({each.state}){known}")
    for tags in dict.fromkeys(each.tags for each in done if each.tags):
        progress.note(f"tags: {', '.join(tags)}")
    for hint in dict.fromkeys(each.hint for each in done if each.hint):
        progress.note(hint)
    fields = ("target", "reference", "digest", "tags", "state")
    told = [{name: getattr(each, name) for name in fields} for each in done]
    console.answer({"publications": told}, [each.reference for each in done])
