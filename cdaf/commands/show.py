"""cdaf show"""

from pathlib import Path

import click

from cdaf.terminal import console, options


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path(), metavar="[FILE|PATH]")
@click.option("--files", is_flag=True, help="List every path of the image and the archive or file it comes from.")
@click.option("--origins", is_flag=True, help="For a project: say which value of each setting won, and from where.")
@options.json
def command(file: Path, files: bool, origins: bool) -> None:
    """Show what is in the bundle FILE; for a project's folder PATH, its settings and where each comes from."""
    from cdaf.bundles import bundle, show
    from cdaf.errors import UsageError

    if file.is_dir() and files:
        raise UsageError(f"{file} is a folder: --files lists what is in a bundle", bundle.hint_of(file))
    if file.is_file() and origins:
        raise UsageError(f"{file} is a file: --origins looks at a project", "name the folder of a service")
    if file.is_dir() and not origins and any(file.glob("*.cdaf")) and not _is_project(file):
        raise UsageError(f"{file} is a folder of bundles", bundle.hint_of(file))
    if origins or file.is_dir():
        return _origins(file)
    opened = bundle.open(file)
    if files:
        return console.answer_tables({"files": show.paths(opened)}, show.path_tables(opened))
    return console.answer_tables(show.whole(opened), show.tables(opened))


def _is_project(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("cdaf.toml", "pyproject.toml"))


def _origins(root: Path) -> None:
    import json

    from cdaf.settings import origins

    found = origins.find(root)
    rows = [
        (each.key, "" if each.value is None else json.dumps(each.value, ensure_ascii=False), each.origin)
        for each in found
    ]
    told = [{"key": each.key, "value": each.value, "origin": each.origin} for each in found]
    console.answer_tables({"settings": told}, [console.Table("", ("key", "value", "from"), rows)])
