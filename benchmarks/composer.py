"""PHP: `cdaf package` of examples/storefront beside Composer, which runs in a container that is up already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import measure, packaging
from benchmarks.bench import Bench, seconds
from benchmarks.measure import Sample
from benchmarks.service import Service
from benchmarks.table import Aim, Row
from tools import index

STOREFRONT = Path("examples/storefront")
CHANGED = "src/Application.php"
IMAGE = "composer:2"
INSTALL = "composer install --no-dev"
_INSTALL = [*INSTALL.split(), "--no-scripts", "--no-plugins", "--no-progress", "--no-interaction", "--quiet"]


def warm(bench: Bench) -> list[Row]:
    """`cdaf package` again: nothing changed, then one line changed each time."""
    with packaging.locked(bench, STOREFRONT) as shop:
        return [*packaging.warm(bench, shop, "PHP", CHANGED)]


def cold(bench: Bench) -> list[Row]:
    """`cdaf package` with an empty cache beside `composer install` with an empty cache, from one index."""
    with packaging.locked(bench, STOREFRONT) as shop, _container(bench, shop) as name:

        def theirs() -> Sample:
            packaging.docker(bench, "exec", name, "rm", "-rf", "/app/vendor", "/tmp/cache")
            return measure.run(["docker", "exec", name, *_INSTALL], bench.env, bench.work)

        ours, other = measure.alternately(bench.runs, packaging.cold(bench, shop), theirs)
    peer = f"`{INSTALL}`, in a container that runs already"
    return [Row("package PHP, cold", seconds(ours), seconds(other), peer, "s", Aim("ratio", 1.3))]


@contextmanager
def _container(bench: Bench, shop: Service) -> Iterator[str]:
    """A container with Composer, the service's files and a lock that leads to the index, its own cache aside."""
    home = index.folder() / "composer"
    mirrors = json.loads((home / "packages.json").read_bytes())["mirrors"]
    led = [{"url": each["dist-url"], "preferred": each["preferred"]} for each in mirrors]
    with bench.folder() as folder:
        lock = json.loads((shop.root / "composer.lock").read_bytes())
        for entry in (*lock["packages"], *lock["packages-dev"]):
            entry["dist"]["mirrors"] = led
        own = folder / "composer.lock"
        own.write_text(json.dumps(lock))
        files = {f"{shop.root}/.": "/app", str(own): "/app/composer.lock"}
        files[str(home / "config.json")] = "/tmp/config.json"
        with packaging.container(bench, IMAGE, files) as name:
            yield name
