"""PHP: `cdaf package` of examples/storefront beside Composer, which runs in a container that is up already."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import measure, service
from benchmarks.bench import Bench, after, seconds
from benchmarks.measure import Sample
from benchmarks.service import Service
from benchmarks.table import Aim, Row
from tools import index, state

STOREFRONT = Path("examples/storefront")
CHANGED = "src/Application.php"
IMAGE = "composer:2"
INSTALL = "composer install --no-dev"
_INSTALL = [*INSTALL.split(), "--no-scripts", "--no-plugins", "--no-progress", "--no-interaction", "--quiet"]


def warm(bench: Bench) -> list[Row]:
    """`cdaf package` again: nothing changed, then one line changed each time."""
    with _storefront(bench) as shop, bench.folder() as cache:
        ours = _packaging(bench, shop, cache)
        ours()
        same = measure.alternately(bench.runs, ours)
        line = measure.alternately(bench.runs, after(lambda: service.changed(shop, CHANGED), ours))
    aim = Aim("figure", 0.5)
    return [
        Row("package PHP, warm, nothing changed", seconds(same[0]), unit="s", aim=aim),
        Row("package PHP, warm, one line changed", seconds(line[0]), unit="s", aim=aim),
    ]


def cold(bench: Bench) -> list[Row]:
    """`cdaf package` with an empty cache beside `composer install` with an empty cache, from one index."""
    with _storefront(bench) as shop, _container(bench, shop) as name:

        def ours() -> Sample:
            with bench.folder() as cache:
                return _packaging(bench, shop, cache)()

        def theirs() -> Sample:
            _docker(bench, "exec", name, "rm", "-rf", "/app/vendor", "/tmp/cache")
            return measure.run(["docker", "exec", name, *_INSTALL], bench.env, bench.work)

        both = measure.alternately(bench.runs, ours, theirs)
    told = f"`{INSTALL}`, in a container that runs already"
    return [Row("package PHP, cold", seconds(both[0]), seconds(both[1]), told, "s", Aim("ratio", 1.3))]


def _packaging(bench: Bench, shop: Service, cache: Path) -> measure.Prepared:
    return lambda: bench.cdaf(cache, "package", root=shop.root)


@contextmanager
def _storefront(bench: Bench) -> Iterator[Service]:
    with bench.folder() as folder:
        shop = service.copied(STOREFRONT, folder / "storefront")
        service.locked(shop, bench.programs, bench.env | {"CDAF_CACHE": str(folder / "lock")})
        yield shop


@contextmanager
def _container(bench: Bench, shop: Service) -> Iterator[str]:
    """A container with Composer, the service's files and a lock that leads to the index, its own cache aside."""
    name = f"bench-composer-{uuid.uuid4().hex[:12]}"
    home = index.folder() / "composer"
    mirrors = json.loads((home / "packages.json").read_bytes())["mirrors"]
    led = [{"url": each["dist-url"], "preferred": each["preferred"]} for each in mirrors]
    with bench.folder() as folder:
        lock = json.loads((shop.root / "composer.lock").read_bytes())
        for entry in (*lock["packages"], *lock["packages-dev"]):
            entry["dist"]["mirrors"] = led
        (folder / "composer.lock").write_text(json.dumps(lock))
        _docker(bench, "run", "--detach", "--rm", "--network=host", f"--name={name}", IMAGE, "sleep", "86400")
        try:
            _docker(bench, "cp", f"{shop.root}/.", f"{name}:/app")
            _docker(bench, "cp", str(folder / "composer.lock"), f"{name}:/app/composer.lock")
            _docker(bench, "cp", str(home / "config.json"), f"{name}:/tmp/config.json")
            yield name
        finally:
            _docker(bench, "rm", "--force", name)


def _docker(bench: Bench, *words: str) -> None:
    state.run(["docker", *words], f"docker {words[0]}", bench.env)
