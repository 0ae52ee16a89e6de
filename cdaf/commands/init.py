"""cdaf init"""

from pathlib import Path

import click

from cdaf.terminal import console, options


@click.command()
@options.project
@options.json
def command(path: Path) -> None:
    """Write a commented cdaf.toml for the service in PATH from what is found there, and print its path.

    An existing configuration is never overwritten.
    """
    from cdaf.projects import starter

    written = starter.write(path)
    console.answer({"path": str(written)}, [str(written)])
