"""cdaf package"""

from pathlib import Path

import click

from cdaf.terminal import console, options


@click.command()
@options.project
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Where the bundle goes. Default: PATH/dist."
)
@options.platforms
@click.option("--locked", is_flag=True, help="Demand a current cdaf.lock instead of writing a missing one.")
@click.option("--release", is_flag=True, help="Take the version as a release, though HEAD carries no tag for it.")
@click.option(
    "--check",
    is_flag=True,
    help="Package twice, the second time elsewhere and from nothing, and explain any difference.",
)
@options.json
def command(path: Path, out: Path | None, platforms: tuple[str, ...], locked: bool, release: bool, check: bool) -> None:
    """Seal the service in PATH and every dependency it needs into one file, and print the file's path."""
    from cdaf import flow

    flags = {"image.platforms": platforms} if platforms else {}
    into = out or path / "dist"
    sealed = flow.package(path, into, flags=flags, locked=locked, release=release)
    if check:
        from cdaf.projects import checking

        words = [word for each in platforms for word in ("--platform", each)] + ["--release"] * release
        checking.repeat(sealed, path, words)
    told = {"path": str(sealed.path), "identity": sealed.identity, "version": sealed.manifest.service.version}
    console.answer(told, [str(sealed.path)])
