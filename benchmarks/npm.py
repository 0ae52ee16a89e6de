"""Node: `cdaf package` of examples/catalog beside the real npm, which installs from the same lock and registry."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import measure, packaging, service
from benchmarks.bench import ONE, Bench, seconds
from benchmarks.measure import Sample
from benchmarks.service import Service
from benchmarks.table import Aim, Row
from tools import npm

CATALOG = Path("examples/catalog")
CHANGED = "src/app.js"
INSTALL = "npm ci --ignore-scripts"
BUILD = "node web/build.js"


def warm(bench: Bench) -> list[Row]:
    """`cdaf package` again: nothing changed, then one line changed each time, so that its page is built anew."""
    with packaging.locked(bench, CATALOG) as shop:
        same, line = packaging.warm(bench, shop, "Node", CHANGED)
    return [same, replace(line, what=f"{line.what}, [build] run again", aim=None)]


def cold(bench: Bench) -> list[Row]:
    """`cdaf package` with an empty cache beside npm with an empty cache: the same archives, dev dependencies too."""
    with packaging.locked(bench, CATALOG) as whole, _without_build(bench) as plain:
        path = {"PATH": f"{npm.programs()}:{bench.env['PATH']}"}

        def install(shop: Service, *more: str) -> Sample:
            shutil.rmtree(shop.root / "node_modules", ignore_errors=True)
            with bench.folder() as cache:
                told = {"npm_config_cache": str(cache), "npm_config_audit": "false", "npm_config_fund": "false"}
                return measure.run([*INSTALL.split(), "--silent", *more], bench.env | told | path, shop.root)

        def both() -> Sample:
            return measure.total([install(plain), measure.run(BUILD.split(), bench.env | path, plain.root)])

        one, bare, made, full, built = measure.alternately(
            bench.runs,
            packaging.cold(bench, plain, "--platform", ONE),
            lambda: install(plain, "--omit=dev"),
            packaging.cold(bench, whole, "--platform", ONE),
            lambda: install(plain),
            both,
        )
    aim, what = Aim("ratio", 1.3), "package Node, cold"
    return [
        Row(f"{what}, linux/amd64", seconds(one), seconds(bare), f"`{INSTALL} --omit=dev`", "s", aim),
        Row(f"{what}, [build] included", seconds(made), seconds(full), f"`{INSTALL}`, which builds nothing", "s", aim),
        Row(f"{what}, [build] included", seconds(made), seconds(built), f"`{INSTALL}` and `{BUILD}`", "s"),
    ]


@contextmanager
def _without_build(bench: Bench) -> Iterator[Service]:
    """The example with nothing left in it but what npm does too."""
    with bench.folder() as folder:
        bare = service.copied(CATALOG, folder / CATALOG.name)
        path = bare.root / "cdaf.toml"
        head, _, rest = path.read_text().partition("[build]\n")
        path.write_text(head + rest[rest.index("[image]") :])
        service.locked(bare, bench.programs, bench.env | {"CDAF_CACHE": str(folder / "lock")})
        yield bare
