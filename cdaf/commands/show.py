"""cdaf show"""

from pathlib import Path

import click

from cdaf.terminal import console, options


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path(), metavar="[FILE|PATH]")
@click.option("--files", is_flag=True, help="List every path of the image and the one archive that owns it.")
@click.option("--origins", is_flag=True, help="For a project: list every setting, with where its value came from.")
@click.option("--sbom", is_flag=True, help="Print the bill of materials of an image, a CycloneDX document.")
@click.option(
    "--platform", metavar="P", help="With --files or --sbom: of this platform's image alone, such as linux/amd64."
)
@options.json
def command(file: Path, files: bool, origins: bool, sbom: bool, platform: str | None) -> None:
    """Show what is in the bundle FILE; for a project's folder PATH, the settings that hold there."""
    from cdaf.bundles import bundle, show
    from cdaf.errors import UsageError

    if file.is_dir() and (files or sbom):
        option = "--files lists what" if files else "--sbom tells of what"
        raise UsageError(f"{file} is a folder: {option} is in a bundle", bundle.hint_of(file))
    if sum((files, sbom, origins)) > 1 or (platform and not (files or sbom)):
        raise UsageError(
            "--files, --sbom and --origins show one thing each; --platform goes with the first two", "choose one"
        )
    if file.is_file() and origins:
        raise UsageError(f"{file} is a file: --origins looks at a project", "name the folder of a service")
    if file.is_dir() and not origins and any(file.glob("*.cdaf")) and not _is_project(file):
        raise UsageError(f"{file} is a folder of bundles", bundle.hint_of(file))
    if origins or file.is_dir():
        return _settings(file, origins=origins)
    opened = bundle.open(file)
    if files:
        return console.answer_tables(show.path_data(opened, platform), show.path_tables(opened, platform))
    if sbom:
        return console.result(show.bill(opened, platform).decode().rstrip("\n"))
    return console.answer_tables(show.whole(opened), show.tables(opened))


def _is_project(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("cdaf.toml", "pyproject.toml"))


def _settings(root: Path, *, origins: bool) -> None:
    """Those that have a value, or with `origins` all of them with where it came from; as JSON always all of it."""
    import json

    from cdaf.projects import inferred

    found = inferred.find(root)
    shown = [each for each in found if origins or each.value not in (None, [], {})]
    rows = [
        (each.key, "" if each.value is None else json.dumps(each.value, ensure_ascii=False), each.origin)
        for each in shown
    ]
    told = [{"key": each.key, "value": each.value, "origin": each.origin} for each in found]
    columns = ("key", "value", "from")[: 3 if origins else 2]
    table = console.Table("", columns, [row[: len(columns)] for row in rows])
    console.answer_tables({"settings": told}, [table])
