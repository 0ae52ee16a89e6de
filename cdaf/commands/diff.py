"""cdaf diff"""

from pathlib import Path

import click

from cdaf import progress
from cdaf.terminal import console, options


@click.command()
@click.argument("old", type=click.Path(path_type=Path), metavar="A")
@click.argument("new", type=click.Path(path_type=Path), metavar="B")
@options.json
def command(old: Path, new: Path) -> None:
    """Show which settings, dependencies, files and layers changed from bundle A to bundle B.

    A layer is told by what goes into it, so that none has to be made for this.
    """
    from cdaf.bundles import bundle, diff

    changes = diff.compare(bundle.open(old), bundle.open(new))
    if not changes:
        progress.note("no differences")
    rows = [(each.sign, each.kind, each.name, each.before, each.after) for each in changes]
    told = [dict(zip(("kind", "name", "before", "after"), row[1:], strict=True)) for row in rows]
    console.answer_tables({"changes": told}, [console.Table("", ("", "what", "name", str(old), str(new)), rows)])
