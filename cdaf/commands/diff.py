"""cdaf diff"""

from typing import TYPE_CHECKING

import click

from cdaf import progress
from cdaf.terminal import console, options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdaf.images.compare import Change

_SHOWN = 20


@click.command()
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@click.option("--all", "whole", is_flag=True, help=f"List every path; without it at most {_SHOWN} of a layer.")
@options.json
def command(old: str, new: str, whole: bool) -> None:
    """Explain all that differs between A and B: settings, dependencies, layers, and every path of the images.

    Each is a bundle, an OCI layout (FOLDER or FOLDER:TAG), an image in a registry (HOST/NAME:TAG or @DIGEST), or one
    of the engine's (engine:NAME). Of two bundles nothing has to be made or fetched; of images only the layers that
    differ are read.
    """
    from cdaf.bundles import sides

    changes = sides.differences(old, new)
    if not changes:
        progress.note("no differences")
    everywhere = {platform for each in changes for platform in each.platforms}
    rows = [_row(each, len(everywhere)) for each in changes if each.kind != "path"]
    rows += _paths([each for each in changes if each.kind == "path"], len(everywhere), None if whole else _SHOWN)
    told = [_told(each) for each in changes]
    console.answer_tables({"changes": told}, [console.Table("", ("", "what", "name", old, new, "of"), rows)])


def _row(change: "Change", everywhere: int) -> tuple[str, ...]:
    on = " ".join(change.platforms) if len(change.platforms) < everywhere or change.kind == "layer" else ""
    name = f"{on} {change.name}" if change.kind in ("layer", "config", "base") and on else change.name
    belongs = change.owner or change.layer or ", ".join(change.why)
    return change.sign, change.kind, name, change.before, change.after, belongs


def _paths(changes: "Sequence[Change]", everywhere: int, most: int | None) -> "Iterator[tuple[str, ...]]":
    """The paths, layer by layer."""
    layers: dict[tuple[str, tuple[str, ...]], list[Change]] = {}
    for each in changes:
        layers.setdefault((each.layer, each.platforms), []).append(each)
    for (layer, _), those in layers.items():
        yield from (_row(each, everywhere) for each in those[:most])
        if most is not None and len(those) > most:
            yield "", "path", f"… {len(those) - most} more in layer {layer}: --all lists them", "", "", ""


def _told(change: "Change") -> dict[str, object]:
    import msgspec

    found: dict[str, object] = msgspec.to_builtins(change)
    return found
