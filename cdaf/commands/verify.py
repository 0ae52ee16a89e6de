"""cdaf verify"""

from pathlib import Path

import click

from cdaf.terminal import console, options


@click.command()
@options.bundle
@options.json
def command(file: Path) -> None:
    """Check every byte of the bundle FILE and print `ok` and its identity; nothing is run or written."""
    from cdaf.bundles import bundle

    opened = bundle.open(file)
    console.answer({"path": str(file), "identity": opened.identity}, [f"ok {opened.identity}"])
