"""cdaf up"""

from pathlib import Path

import click

from cdaf import progress
from cdaf.terminal import console, options


@click.command()
@options.bundle
@options.json
def command(file: Path) -> None:
    """Run the service of the bundle FILE with its sidecars until Ctrl-C, and print its URL once it is ready.

    What is run is the very image that a release would test and publish. Everything is taken down at the end.
    """
    from cdaf.bundles import bundle
    from cdaf.images import building
    from cdaf.testing import smoke

    opened = bundle.open(file)
    with progress.step("image"):
        images = building.images(opened)
    smoke.up(opened, images, lambda url: console.answer({"url": url}, [url]))
