"""cdaf image"""

from pathlib import Path

import click

from cdaf import progress
from cdaf.terminal import console, options


@click.command()
@options.bundle
@options.platforms
@click.option("--layout", type=click.Path(path_type=Path), metavar="DIR", help="Write an OCI layout there, too.")
@options.json
def command(file: Path, platforms: tuple[str, ...], layout: Path | None) -> None:
    """Assemble the image of the bundle FILE and print the digest that a release would publish.

    With one platform that is its manifest's, with several their index's. Nothing is run, no engine is needed.
    """
    from cdaf.bundles import bundle
    from cdaf.images import building, oci
    from cdaf.images import layout as layouts
    from cdaf.registries import registry

    opened = bundle.open(file)
    with progress.step("image"):
        images = building.images(opened, platforms)
    if layout is not None:
        with progress.step("layout"):
            layouts.write(layout, [registry.complete(each) for each in images])
    digest = oci.published(images)[2]
    told = {each.platform: {"digest": each.digest, "config": each.config_digest} for each in images}
    console.answer({"digest": digest, "platforms": told}, [digest])
