"""cdaf verify"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cdaf.terminal import console, options

if TYPE_CHECKING:
    from cdaf.errors import CdafError


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@options.json
@click.pass_context
def command(context: click.Context, files: tuple[Path, ...]) -> None:
    """Check every byte of each bundle FILE and print `ok` and its identity; nothing is run or written.

    Of several the others are checked too when one is wrong, and the exit code is that of the worst.
    """
    from cdaf.bundles import bundle
    from cdaf.errors import exit_code

    if len(files) == 1:
        opened = bundle.open(files[0])
        console.answer({"path": str(files[0]), "identity": opened.identity}, [f"ok {opened.identity}"])
        return
    found = [(file, _looked_at(file)) for file in files]
    lines = [f"ok {each}  {file}" for file, each in found if isinstance(each, str)]
    wrong = [each for _, each in found if not isinstance(each, str)]
    worst = max(wrong, key=exit_code, default=None)
    whole = {} if worst is None else {"ok": False, "error": console.told(worst)}
    for each in wrong:
        console.complain(each)
    console.answer({**whole, "bundles": [_told(*each) for each in found]}, lines)
    context.exit(exit_code(worst) if worst else 0)


def _looked_at(file: Path) -> "str | CdafError":
    """A bundle's identity, or what is wrong with it."""
    from cdaf.bundles import bundle
    from cdaf.errors import CdafError
    from cdaf.terminal import mishap

    try:
        return bundle.open(file).identity
    except (CdafError, OSError) as error:
        return mishap.explain(error)


def _told(file: Path, found: "str | CdafError") -> dict[str, Any]:
    if isinstance(found, str):
        return {"ok": True, "path": str(file), "identity": found}
    return {"ok": False, "path": str(file), "error": console.told(found)}
