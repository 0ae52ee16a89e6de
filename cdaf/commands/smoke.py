"""cdaf smoke"""

from pathlib import Path

import click

from cdaf import progress
from cdaf.terminal import console, options


@click.command()
@options.bundle
@options.keep
@options.record
@options.json
def command(file: Path, keep: bool, record: Path | None) -> None:
    """Assemble the image of the bundle FILE, test it beside its sidecars, and print the report's path.

    The result is entered in the release record, so that `cdaf publish` may follow.
    """
    import msgspec

    from cdaf import releasing
    from cdaf.bundles import bundle
    from cdaf.images import building

    opened = bundle.open(file)
    with progress.step("image"):
        images = building.images(opened)
    with progress.step("smoke"):
        done = releasing.test(opened, images, releasing.journal(opened, images, record), keep=keep)
    results = done.record.smoke
    reports = dict.fromkeys(str(done.place.parent / each.report) for each in results if each.report)
    for each in results:
        progress.note(f"{each.platform}: {each.state}")
    told = {"record": str(done.place), "results": msgspec.to_builtins(results), "reports": list(reports)}
    console.answer(told, list(reports))
