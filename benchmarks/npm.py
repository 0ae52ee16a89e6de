"""Node: `cdaf package` of examples/catalog beside the real npm, which installs from the same lock and registry."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import measure, service
from benchmarks.bench import ONE, Bench, after, seconds
from benchmarks.measure import Sample
from benchmarks.service import Service
from benchmarks.table import Aim, Row
from tools import npm

CATALOG = Path("examples/catalog")
CHANGED = "src/app.js"
INSTALL = "npm ci --ignore-scripts"


def warm(bench: Bench) -> list[Row]:
    """`cdaf package` again: nothing changed, then one line changed each time, so that its page is built anew."""
    with _catalog(bench) as shop, bench.folder() as cache:
        ours = _packaging(bench, shop, cache)
        ours()
        same = measure.alternately(bench.runs, ours)
        line = measure.alternately(bench.runs, after(lambda: service.changed(shop, CHANGED), ours))
    aim = Aim("figure", 0.5)
    return [
        Row("package Node, warm, nothing changed", seconds(same[0]), unit="s", aim=aim),
        Row("package Node, warm, one line changed, [build] run again", seconds(line[0]), unit="s"),
    ]


def cold(bench: Bench) -> list[Row]:
    """`cdaf package` with an empty cache beside npm with an empty cache: the same archives, dev dependencies too."""
    with _catalog(bench) as whole, _catalog(bench, build=False) as plain:

        def ours(shop: Service, *more: str) -> Sample:
            with bench.folder() as cache:
                return _packaging(bench, shop, cache, *more)()

        def theirs(shop: Service, *more: str) -> Sample:
            shutil.rmtree(shop.root / "node_modules", ignore_errors=True)
            with bench.folder() as cache:
                told = {"npm_config_cache": str(cache), "PATH": f"{npm.programs()}:{bench.env['PATH']}"}
                told |= {"npm_config_audit": "false", "npm_config_fund": "false"}
                return measure.run([*INSTALL.split(), "--silent", *more], bench.env | told, shop.root)

        one, bare, made, install = measure.alternately(
            bench.runs,
            lambda: ours(plain, "--platform", ONE),
            lambda: theirs(plain, "--omit=dev"),
            lambda: ours(whole, "--platform", ONE),
            lambda: theirs(plain),
        )
    aim = Aim("ratio", 1.3)
    return [
        Row("package Node, cold, linux/amd64", seconds(one), seconds(bare), f"`{INSTALL} --omit=dev`", "s", aim),
        Row("package Node, cold, [build] included", seconds(made), seconds(install), f"`{INSTALL}`", "s"),
    ]


def _packaging(bench: Bench, shop: Service, cache: Path, *more: str) -> measure.Prepared:
    return lambda: bench.cdaf(cache, "package", *more, root=shop.root)


@contextmanager
def _catalog(bench: Bench, *, build: bool = True) -> Iterator[Service]:
    """A locked copy; without [build] nothing but npm's own work is left."""
    with bench.folder() as folder:
        shop = service.copied(CATALOG, folder / "catalog")
        if not build:
            path = shop.root / "cdaf.toml"
            head, _, rest = path.read_text().partition("[build]\n")
            path.write_text(head + rest[rest.index("[image]") :])
        service.locked(shop, bench.programs, bench.env | {"CDAF_CACHE": str(folder / "lock")})
        yield shop
