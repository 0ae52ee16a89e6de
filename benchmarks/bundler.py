"""Ruby: `cdaf package` of examples/inventory beside Bundler, which runs in a container that is up already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks import measure, packaging
from benchmarks.bench import Bench, seconds
from benchmarks.measure import Sample
from benchmarks.table import Aim, Row
from tools import index

INVENTORY = Path("examples/inventory")
CHANGED = "lib/inventory/web.rb"
IMAGE = "ruby:3.3"
INSTALL = "bundle install"


def warm(bench: Bench) -> list[Row]:
    """`cdaf package` again: nothing changed, then one line changed each time."""
    led = _led(bench)
    with packaging.locked(led, INVENTORY) as shop:
        return [*packaging.warm(led, shop, "Ruby", CHANGED)]


def cold(bench: Bench) -> list[Row]:
    """`cdaf package` beside `bundle install`, both with empty caches, from one index: both compile two extensions."""
    led = _led(bench)
    told = {**_mirror(), "BUNDLE_DEPLOYMENT": "true", "BUNDLE_PATH": "vendor/bundle"}
    with (
        packaging.locked(led, INVENTORY) as shop,
        packaging.container(bench, IMAGE, {f"{shop.root}/.": "/app"}, told) as name,
    ):

        def theirs() -> Sample:
            packaging.docker(bench, "exec", name, "sh", "-c", 'rm -rf /app/vendor "$HOME/.bundle" "$HOME/.local"')
            return measure.run(
                ["docker", "exec", "-w", "/app", name, *INSTALL.split(), "--quiet"], bench.env, bench.work
            )

        ours, other = measure.alternately(bench.runs, packaging.cold(led, shop), theirs)
    peer = f"`{INSTALL}` for deployment, in a container that runs already"
    return [Row("package Ruby, cold, extensions compiled", seconds(ours), seconds(other), peer, "s", Aim("ratio", 1.3))]


def _led(bench: Bench) -> Bench:
    """The same, with Bundler's setting that leads to the index."""
    return replace(bench, env=bench.env | _mirror())


def _mirror() -> dict[str, str]:
    return {"BUNDLE_MIRROR__ALL": index.url("ruby")}
