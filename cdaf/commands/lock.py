"""cdaf lock"""

from pathlib import Path

import click

from cdaf.terminal import console, options


@click.command()
@options.project
@click.option("--upgrade", is_flag=True, help="Pin everything anew; without it, what is pinned stays.")
@options.json
def command(path: Path, upgrade: bool) -> None:
    """Write cdaf.lock for the service in PATH and print its path.

    It pins what native lockfiles don't: base images and sidecars by digest, build requirements by hash, and the
    facts of the base that the image's plan needs. Commit it.
    """
    from cdaf.projects import locking, pins, project

    found = project.read(path)
    written = path / pins.NAME
    pins.write(locking.make(found, pins.read(written), upgrade=upgrade), written)
    console.answer({"path": str(written)}, [str(written)])
