"""What is measured, a row each or a few; every case prepares off the clock and runs whole processes on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import docker, image, measure, service
from benchmarks.measure import Sample
from benchmarks.service import Programs, Service
from benchmarks.table import Aim, Row
from tools import serve

ONE = "linux/amd64"
CHANGED = "src/orders/web.py"
SYNC = "uv sync --frozen"
BUILDX = "buildx build + push"


@dataclass(frozen=True, slots=True)
class Bench:
    """What every case needs: how often to run, where to work, the programs, the environment, the services."""

    runs: int
    work: Path
    programs: Programs
    env: dict[str, str]
    orders: Service

    def cdaf(self, cache: Path, *arguments: str, root: Path | None = None) -> Sample:
        """`cdaf` in a service's folder."""
        return measure.run(
            [self.programs.named("cdaf"), *arguments], self.env | {"CDAF_CACHE": str(cache)}, root or self.orders.root
        )

    def package(self, cache: Path, *arguments: str) -> tuple[Sample, Path]:
        """`cdaf package` of orders, and the bundle."""
        done = self.cdaf(cache, "package", *arguments)
        return done, self.orders.root / done.stdout

    def publish(self, cache: Path, file: Path, registry: str, *platforms: str) -> Sample:
        """A bundle into a registry."""
        script = str(Path(__file__).with_name("publish.py"))
        command = [self.programs.named("python"), "-I", script, str(file), f"registry:{registry}/team/orders"]
        return measure.run([*command, *platforms], self.env | {"CDAF_CACHE": str(cache)}, self.work)

    def sync(self, cache: Path, venv: Path) -> Sample:
        """`uv sync --frozen` of orders: the packages that cdaf seals, the checks' group among them."""
        command = [self.programs.named("uv"), "sync", "--quiet", "--frozen", "--no-dev", "--group", "smoke"]
        env = {"UV_CACHE_DIR": str(cache), "UV_PROJECT_ENVIRONMENT": str(venv), "UV_PYTHON_DOWNLOADS": "never"}
        return measure.run([*command, "--python", self.programs.named("python")], self.env | env, self.orders.root)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder, gone afterwards."""
        with TemporaryDirectory(dir=self.work) as name:
            yield Path(name)


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
    return [Row("`cdaf --help`", _seconds(ours), _seconds(theirs), "`python3 -c pass`", "ms", aim)]


def package_warm(bench: Bench) -> list[Row]:
    """`cdaf package` again: nothing changed, then one line changed each time."""
    with bench.folder() as folder:
        cache, theirs = folder / "cdaf", (folder / "uv", folder / "venv")
        bench.package(cache)
        bench.sync(*theirs)
        same = measure.alternately(bench.runs, lambda: bench.package(cache)[0], lambda: bench.sync(*theirs))
        line = measure.alternately(
            bench.runs,
            _after(_change(bench), lambda: bench.package(cache)[0]),
            lambda: bench.sync(*theirs),
        )
    aim = Aim("figure", 0.5)
    return [
        Row("package, warm, nothing changed", _seconds(same[0]), _seconds(same[1]), SYNC, "s", aim),
        Row("package, warm, one line changed", _seconds(line[0]), _seconds(line[1]), SYNC),
    ]


def package_cold(bench: Bench) -> list[Row]:
    """`cdaf package` with an empty cache beside `uv sync` with an empty cache: both fetch and build everything."""

    def ours(*arguments: str) -> Sample:
        with bench.folder() as cache:
            return bench.package(cache, *arguments)[0]

    def theirs() -> Sample:
        with bench.folder() as folder:
            return bench.sync(folder / "cache", folder / "venv")

    one, sync, both = measure.alternately(bench.runs, lambda: ours("--platform", ONE), theirs, ours)
    return [
        Row("package, cold, linux/amd64", _seconds(one), _seconds(sync), SYNC, "s", Aim("ratio", 1.3)),
        Row("package, cold, both platforms", _seconds(both), _seconds(sync), f"{SYNC}, one platform"),
    ]


def publish_cold(bench: Bench) -> list[Row]:
    """From a bundle to a digest in an empty registry beside build and push, neither with anything but its input."""
    with bench.folder() as folder:
        prepared = docker.inputs(bench.orders.root, bench.programs.named("python"), folder / "inputs")
        bundles: dict[tuple[str, ...], Path] = {each: _kept(bench, folder, each) for each in ((ONE,), ())}
        sizes: dict[str, float] = {}

        def ours(*platforms: str) -> Sample:
            with bench.folder() as cache, _registry(bench) as registry:
                done = bench.publish(cache, bundles[platforms], registry)
                if platforms:
                    sizes["ours"] = image.compressed(done.stdout)
                return done

        def theirs(*, bytecode: bool) -> Sample:
            with docker.fresh() as engine, _registry(bench) as registry:
                env, name = bench.env | engine, f"{registry}/team/orders:peer"
                built = docker.build(bench.orders.root, prepared, env, bytecode=bytecode)
                pushed = docker.push(bench.orders.root, name, env)
                sizes["theirs" if bytecode else "bare"] = image.compressed(name)
                return measure.total([built, pushed])

        def peer() -> Sample:
            return theirs(bytecode=True)

        def bare() -> Sample:
            return theirs(bytecode=False)

        one, full, both, less = measure.alternately(bench.runs, lambda: ours(ONE), peer, ours, bare)
    what = "bundle to digest, cold"
    return [
        Row(f"{what}, linux/amd64", _seconds(one), _seconds(full), BUILDX, "s", Aim("ratio", 1)),
        Row(f"{what}, linux/amd64", _seconds(one), _seconds(less), f"{BUILDX}, no bytecode"),
        Row(f"{what}, both platforms", _seconds(both), _seconds(full), f"{BUILDX}, one platform"),
        Row("image, compressed", (sizes["ours"],), (sizes["theirs"],), "buildx build", "MB"),
        Row("image, compressed", (sizes["ours"],), (sizes["bare"],), "buildx build, no bytecode", "MB"),
    ]


def publish_warm(bench: Bench) -> list[Row]:
    """From a commit to a digest where all is warm: nothing changed, then one line changed each time."""
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        prepared = docker.inputs(bench.orders.root, bench.programs.named("python"), folder / "inputs")
        env = bench.env | stack.enter_context(docker.fresh())
        registry = stack.enter_context(_registry(bench))

        def ours() -> Sample:
            packaged, file = bench.package(folder / "cache", "--platform", ONE)
            return measure.total([packaged, bench.publish(folder / "cache", file, registry)])

        def theirs() -> Sample:
            built = docker.build(bench.orders.root, prepared, env)
            return measure.total([built, docker.push(bench.orders.root, f"{registry}/team/peer:latest", env)])

        ours()
        theirs()
        same = measure.alternately(bench.runs, ours, theirs)
        line = measure.alternately(bench.runs, _after(_change(bench), ours), theirs)
    return [
        Row("commit to digest, warm, nothing changed", _seconds(same[0]), _seconds(same[1]), BUILDX),
        Row("commit to digest, warm, one line changed", _seconds(line[0]), _seconds(line[1]), BUILDX),
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
    "publish-cold": publish_cold,
    "publish-warm": publish_warm,
    "memory": memory,
}
IN_CONTAINERS = frozenset({"publish-cold", "publish-warm"})


def _peak(bench: Bench, cache: Path, root: Path, *arguments: str) -> tuple[float, str]:
    note = cache.with_suffix(".peak")
    script = str(Path(__file__).with_name("peak.py"))
    command = [bench.programs.named("python"), "-I", script, str(note), *arguments]
    done = measure.run(command, bench.env | {"CDAF_CACHE": str(cache)}, root)
    found = float(note.read_text())
    note.unlink()
    return found, done.stdout


def _kept(bench: Bench, folder: Path, platforms: Sequence[str]) -> Path:
    """A bundle, moved aside: the next one may have the same name."""
    options = [part for platform in platforms for part in ("--platform", platform)]
    _, file = bench.package(folder / "cache", *options)
    kept = folder / f"{len(platforms)}.cdaf"
    shutil.move(file, kept)
    return kept


@contextmanager
def _registry(bench: Bench) -> Iterator[str]:
    with bench.folder() as folder, serve.serving(folder) as served:
        yield served.authority


def _change(bench: Bench) -> Callable[[], None]:
    return lambda: service.changed(bench.orders, CHANGED)


def _after(first: Callable[[], None], then: measure.Prepared) -> measure.Prepared:
    def both() -> Sample:
        first()
        return then()

    return both


def _seconds(samples: Sequence[Sample]) -> tuple[float, ...]:
    return tuple(sample.seconds for sample in samples)
