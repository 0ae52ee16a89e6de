"""`cdaf package` of an example in another language, and the container in which that language's own tool runs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks import measure, service
from benchmarks.bench import Bench, after, seconds
from benchmarks.service import Service
from benchmarks.table import Aim, Row
from tools import state

_WARM = Aim("figure", 0.5)


@contextmanager
def locked(bench: Bench, example: Path) -> Iterator[Service]:
    """A copy of an example in a repository of its own, its cdaf.lock committed."""
    with bench.folder() as folder:
        shop = service.copied(example, folder / example.name)
        service.locked(shop, bench.programs, bench.env | {"CDAF_CACHE": str(folder / "lock")})
        yield shop


def prepared(bench: Bench, shop: Service, cache: Path, *more: str) -> measure.Prepared:
    """`cdaf package` with that cache."""
    return lambda: bench.cdaf(cache, "package", *more, root=shop.root)


def cold(bench: Bench, shop: Service, *more: str) -> measure.Prepared:
    """`cdaf package` with an empty cache each time."""

    def ours() -> measure.Sample:
        with bench.folder() as cache:
            return prepared(bench, shop, cache, *more)()

    return ours


def warm(bench: Bench, shop: Service, language: str, changed: str) -> tuple[Row, Row]:
    """`cdaf package` again: nothing changed, then one line changed each time."""
    with bench.folder() as cache:
        ours = prepared(bench, shop, cache)
        ours()
        same = measure.alternately(bench.runs, ours)
        line = measure.alternately(bench.runs, after(lambda: service.changed(shop, changed), ours))
    what = f"package {language}, warm"
    return (
        Row(f"{what}, nothing changed", seconds(same[0]), unit="s", aim=_WARM),
        Row(f"{what}, one line changed", seconds(line[0]), unit="s", aim=_WARM),
    )


@contextmanager
def container(bench: Bench, image: str, files: Mapping[str, str], env: Mapping[str, str] = {}) -> Iterator[str]:
    """The name of a container that waits, with files put where they are told to be."""
    name = f"bench-{uuid.uuid4().hex[:12]}"
    told = [word for key, value in env.items() for word in ("--env", f"{key}={value}")]
    docker(bench, "run", "--detach", "--rm", "--network=host", f"--name={name}", *told, image, "sleep", "86400")
    try:
        for source, place in files.items():
            docker(bench, "cp", source, f"{name}:{place}")
        yield name
    finally:
        docker(bench, "rm", "--force", name)


def docker(bench: Bench, *words: str) -> None:
    """Run the client, off the clock."""
    state.run(["docker", *words], f"docker {words[0]}", bench.env)
