"""cdaf release"""

from pathlib import Path

import click

from cdaf.terminal import options


@click.command()
@options.bundle
@options.targets
@click.option("--dry-run", is_flag=True, help="Do all but publish: say where it would go.")
@options.keep
@options.config
@options.record
@options.json
def command(
    file: Path, to: tuple[str, ...], dry_run: bool, keep: bool, config: Path | None, record: Path | None
) -> None:
    """Verify the bundle FILE, assemble its image, test it, publish it, and print its references by digest.

    Without --to it goes where the bundle says; when that says nothing, to an OCI layout beside it and to the engine.
    """
    from cdaf import flow
    from cdaf.commands.publish import tell

    done = flow.release(file, to, config=config, record=record, keep=keep, dry_run=dry_run)
    tell(done)
