"""cdaf check"""

from pathlib import Path

import click

from cdaf import progress
from cdaf.terminal import console, options


@click.command()
@options.project
@options.json
def command(path: Path) -> None:
    """List all faults of cdaf.toml and of the locks in PATH; nothing is fetched.

    Faults go to stderr and the exit code is 3; without any, nothing is printed on stdout and the exit code is 0.
    """
    from cdaf.projects import checking

    found = checking.check(path)
    progress.note(f"{found.name} {found.version.semver}: no faults")
    console.answer({"name": found.name, "version": found.version.semver, "language": found.language})
