"""What is measured, a row each or a few; every case prepares off the clock and runs whole processes on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks import bundler, composer, loading, measure, npm, publishing, service, starting
from benchmarks.bench import ONE, SYNC, Bench, after, change, seconds
from benchmarks.measure import Sample
from benchmarks.table import Aim, Row


def help_(bench: Bench) -> list[Row]:
    """`cdaf --help` beside an interpreter that does nothing."""
    cdaf, python = [bench.programs.named("cdaf"), "--help"], [bench.programs.named("python"), "-c", "pass"]
    for command in (cdaf, python):
        measure.run(command, bench.env, bench.work)
    ours, theirs = measure.alternately(
        4 * bench.runs,  # each takes no time, and the difference is small
        lambda: measure.run(cdaf, bench.env, bench.work),
        lambda: measure.run(python, bench.env, bench.work),
    )
    aim = Aim("difference", 0.1)
    return [Row("`cdaf --help`", seconds(ours), seconds(theirs), "`python3 -c pass`", "ms", aim)]


def package_warm(bench: Bench) -> list[Row]:
    """`cdaf package` again: nothing changed, then one line changed each time."""
    with bench.folder() as folder:
        cache, theirs = folder / "cdaf", (folder / "uv", folder / "venv")
        bench.package(cache)
        bench.sync(*theirs)
        same = measure.alternately(bench.runs, lambda: bench.package(cache)[0], lambda: bench.sync(*theirs))
        line = measure.alternately(
            bench.runs,
            after(change(bench), lambda: bench.package(cache)[0]),
            lambda: bench.sync(*theirs),
        )
    aim = Aim("figure", 0.5)
    return [
        Row("package, warm, nothing changed", seconds(same[0]), seconds(same[1]), SYNC, "s", aim),
        Row("package, warm, one line changed", seconds(line[0]), seconds(line[1]), SYNC),
    ]


def package_cold(bench: Bench) -> list[Row]:
    """`cdaf package` with an empty cache beside `uv sync` with an empty cache: both fetch and build everything."""

    def ours(*arguments: str, bytecode: bool = True) -> Sample:
        with bench.folder() as cache:
            return bench.package(cache, *arguments, bytecode=bytecode)[0]

    def theirs(*more: str) -> Sample:
        with bench.folder() as folder:
            return bench.sync(folder / "cache", folder / "venv", *more)

    one, sync, both, compiled, bare = measure.alternately(
        bench.runs,
        lambda: ours("--platform", ONE),
        theirs,
        ours,
        lambda: theirs("--compile-bytecode"),
        lambda: ours("--platform", ONE, bytecode=False),
    )
    aim = Aim("ratio", 1.3)
    return [
        Row("package, cold, linux/amd64, no bytecode", seconds(bare), seconds(sync), SYNC, "s", aim),
        Row("package, cold, linux/amd64", seconds(one), seconds(compiled), f"{SYNC} --compile-bytecode", "s", aim),
        Row("package, cold, linux/amd64", seconds(one), seconds(sync), SYNC, "s", aim),
        Row("package, cold, both platforms", seconds(both), seconds(sync), f"{SYNC}, one platform"),
    ]


def memory(bench: Bench) -> list[Row]:
    """Own peak memory over a dependency set of more than 350 MB, caches empty; the largest of all runs counts."""
    with bench.folder() as folder:
        heavy = service.copied(service.HEAVY, folder / "heavy")
        service.locked(heavy, bench.programs, bench.env | {"CDAF_CACHE": str(folder / "lock")})
        packaging, assembling, size = [], [], 0
        for _ in range(1 if bench.runs == 1 else 3):
            with bench.folder() as cache:
                peak, said = _peak(bench, cache, heavy.root, "package")
                packaging.append(peak)
            file = heavy.root / said
            size = sum(each.stat().st_size for each in file.parent.glob("*.cdaf"))
            with bench.folder() as cache:
                assembling.append(_peak(bench, cache, heavy.root, "image", str(file))[0])
    aim = Aim("figure", 200e6)
    told = f"bundle of {size / 1e6:.0f} MB"
    return [
        Row(f"own peak memory of package, {told}", (max(packaging),), unit="MB", aim=aim),
        Row(f"own peak memory of image, {told}", (max(assembling),), unit="MB", aim=aim),
    ]


CASES: dict[str, Callable[[Bench], list[Row]]] = {
    "help": help_,
    "package-warm": package_warm,
    "package-cold": package_cold,
    "publish-cold": publishing.cold,
    "publish-wide": publishing.wide,
    "publish-warm": publishing.warm,
    "load": loading.load,
    "start": starting.start,
    "foretell": publishing.foretell,
    "memory": memory,
    "node-warm": npm.warm,
    "node-cold": npm.cold,
    "php-warm": composer.warm,
    "php-cold": composer.cold,
    "ruby-warm": bundler.warm,
    "ruby-cold": bundler.cold,
}
IN_CONTAINERS = frozenset({"php-cold", "ruby-cold", "publish-cold", "publish-wide", "publish-warm", "load", "start"})


def _peak(bench: Bench, cache: Path, root: Path, *arguments: str) -> tuple[float, str]:
    note = cache.with_suffix(".peak")
    script = str(Path(__file__).with_name("peak.py"))
    command = [bench.programs.named("python"), "-I", script, str(note), *arguments]
    done = measure.run(command, bench.env | {"CDAF_CACHE": str(cache)}, root)
    found = float(note.read_text())
    note.unlink()
    return found, done.stdout
