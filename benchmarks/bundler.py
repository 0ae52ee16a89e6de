"""Ruby: `cdaf package` of examples/inventory beside Bundler, which runs in a container that is up already."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import measure, service
from benchmarks.bench import Bench, after, seconds
from benchmarks.measure import Sample
from benchmarks.service import Service
from benchmarks.table import Aim, Row
from tools import index, state

INVENTORY = Path("examples/inventory")
CHANGED = "lib/inventory/web.rb"
IMAGE = "ruby:3.3"
INSTALL = "bundle install"


def warm(bench: Bench) -> list[Row]:
    """`cdaf package` again: nothing changed, then one line changed each time."""
    with _inventory(bench) as shop, bench.folder() as cache:
        ours = _packaging(bench, shop, cache)
        ours()
        same = measure.alternately(bench.runs, ours)
        line = measure.alternately(bench.runs, after(lambda: service.changed(shop, CHANGED), ours))
    aim = Aim("figure", 0.5)
    return [
        Row("package Ruby, warm, nothing changed", seconds(same[0]), unit="s", aim=aim),
        Row("package Ruby, warm, one line changed", seconds(line[0]), unit="s", aim=aim),
    ]


def cold(bench: Bench) -> list[Row]:
    """`cdaf package` beside `bundle install`, both with empty caches, from one index: both compile two extensions."""
    with _inventory(bench) as shop, _container(bench, shop) as name:

        def ours() -> Sample:
            with bench.folder() as cache:
                return _packaging(bench, shop, cache)()

        def theirs() -> Sample:
            _docker(bench, "exec", name, "sh", "-c", 'rm -rf /app/vendor "$HOME/.bundle" "$HOME/.local"')
            return measure.run(
                ["docker", "exec", "-w", "/app", name, *INSTALL.split(), "--quiet"], bench.env, bench.work
            )

        both = measure.alternately(bench.runs, ours, theirs)
    told = f"`{INSTALL}` for deployment, in a container that runs already"
    return [
        Row("package Ruby, cold, extensions compiled", seconds(both[0]), seconds(both[1]), told, "s", Aim("ratio", 1.3))
    ]


def _packaging(bench: Bench, shop: Service, cache: Path) -> measure.Prepared:
    return lambda: _led(bench).cdaf(cache, "package", root=shop.root)


def _led(bench: Bench) -> Bench:
    """The same, with Bundler's setting that leads to the index."""
    return replace(bench, env=bench.env | _mirror())


def _mirror() -> dict[str, str]:
    return {"BUNDLE_MIRROR__ALL": index.url("ruby")}


@contextmanager
def _inventory(bench: Bench) -> Iterator[Service]:
    with bench.folder() as folder:
        shop = service.copied(INVENTORY, folder / "inventory")
        service.locked(shop, bench.programs, bench.env | _mirror() | {"CDAF_CACHE": str(folder / "lock")})
        yield shop


@contextmanager
def _container(bench: Bench, shop: Service) -> Iterator[str]:
    """A container with Ruby and a compiler, and the service's files."""
    name = f"bench-ruby-{uuid.uuid4().hex[:12]}"
    told = {**_mirror(), "BUNDLE_DEPLOYMENT": "true", "BUNDLE_PATH": "vendor/bundle"}
    env = [word for key, value in told.items() for word in ("--env", f"{key}={value}")]
    _docker(bench, "run", "--detach", "--rm", "--network=host", f"--name={name}", *env, IMAGE, "sleep", "86400")
    try:
        _docker(bench, "cp", f"{shop.root}/.", f"{name}:/app")
        yield name
    finally:
        _docker(bench, "rm", "--force", name)


def _docker(bench: Bench, *words: str) -> None:
    state.run(["docker", *words], f"docker {words[0]}", bench.env)
