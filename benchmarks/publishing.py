"""From a bundle, or a commit, to a digest in a registry, beside `docker buildx build` and `docker push`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks import docker, image, measure, service
from benchmarks.bench import BUILDX, ONE, Bench, after, change, registry, seconds
from benchmarks.measure import Sample
from benchmarks.table import Aim, Row
from tools import fresh

_PACKAGES = 200


def cold(bench: Bench) -> list[Row]:
    """From a bundle to a digest in an empty registry beside build and push, neither with anything but its input."""
    with bench.folder() as folder:
        prepared = docker.inputs(bench.orders.root, bench.programs.named("python"), folder / "inputs")
        bundles: dict[tuple[str, ...], Path] = {each: _kept(bench, folder, each) for each in ((ONE,), ())}
        sizes: dict[str, float] = {}

        def ours(*platforms: str) -> Sample:
            with bench.folder() as cache, registry(bench) as served:
                done = bench.publish(cache, bundles[platforms], served.authority)
                if platforms:
                    sizes["ours"] = image.compressed(done.stdout)
                return done

        def theirs(*, bytecode: bool) -> Sample:
            told = "theirs" if bytecode else "bare"
            return _peer(bench, bench.orders.root, prepared, sizes, told, bytecode=bytecode)

        one, full, both, less = measure.alternately(
            bench.runs, lambda: ours(ONE), lambda: theirs(bytecode=True), ours, lambda: theirs(bytecode=False)
        )
        sizes["zstd"] = _by_zstd(bench, folder)
    what = "bundle to digest, cold"
    return [
        Row(f"{what}, linux/amd64", seconds(one), seconds(full), BUILDX, "s", Aim("ratio", 0.05)),
        Row(f"{what}, linux/amd64", seconds(one), seconds(less), f"{BUILDX}, no bytecode"),
        Row(f"{what}, both platforms", seconds(both), seconds(full), f"{BUILDX}, one platform"),
        Row("image, compressed", (sizes["ours"],), (sizes["theirs"],), "buildx build", "MB", Aim("ratio", 1.1)),
        Row("image, compressed", (sizes["ours"],), (sizes["bare"],), "buildx build, no bytecode", "MB"),
        Row("image, compressed by zstd", (sizes["zstd"],), (sizes["theirs"],), "buildx build", "MB", Aim("ratio", 1)),
    ]


def wide(bench: Bench) -> list[Row]:
    """The same over a hundred megabytes of wheels, and cdaf's own peak memory meanwhile."""
    with bench.folder() as folder:
        made = service.copied(service.WIDE, folder / "wide")
        cache = {"CDAF_CACHE": str(folder / "cache")}
        service.locked(made, bench.programs, bench.env | cache)
        file = made.root / bench.cdaf(folder / "cache", "package", root=made.root).stdout
        prepared = docker.inputs(made.root, bench.programs.named("python"), folder / "inputs")
        sizes: dict[str, float] = {}
        peaks: list[float] = []

        def ours() -> Sample:
            note = folder / "peak"
            with bench.folder() as empty, registry(bench) as served:
                done = bench.publish(empty, file, served.authority, note=note)
                sizes["ours"] = image.compressed(done.stdout)
            peaks.append(float(note.read_text()))
            return done

        def theirs() -> Sample:
            return _peer(bench, made.root, prepared, sizes, "theirs", dockerfile="wide.Dockerfile")

        one, full = measure.alternately(bench.runs, ours, theirs)
        told = f"{file.stat().st_size / 1e6:.0f} MB of wheels"
    return [
        Row(f"bundle to digest, cold, {told}", seconds(one), seconds(full), BUILDX, "s", Aim("ratio", 0.04)),
        Row(f"own peak memory of that, {told}", (max(peaks),), unit="MB", aim=Aim("figure", 100e6)),
        Row(f"image, compressed, {told}", (sizes["ours"],), (sizes["theirs"],), BUILDX, "MB", Aim("ratio", 1.1)),
    ]


def warm(bench: Bench) -> list[Row]:
    """Where all is warm: nothing changed, then one line changed each time, and what goes up then."""
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        prepared = docker.inputs(bench.orders.root, bench.programs.named("python"), folder / "inputs")
        env = bench.env | stack.enter_context(fresh.started())
        served = stack.enter_context(registry(bench))
        cache, beyond = folder / "cache", []

        def publish(file: Path) -> Sample:
            return bench.publish(cache, file, served.authority)

        def ours() -> Sample:
            packaged, file = bench.package(cache, "--platform", ONE)
            return measure.total([packaged, publish(file)])

        def counted() -> Sample:
            before = image.stored(served.storage)
            done = ours()
            beyond.append(float(image.stored(served.storage) - before - image.last_layer(done.stdout)))
            return done

        def theirs() -> Sample:
            built = docker.build(bench.orders.root, prepared, env)
            return measure.total([built, docker.push(bench.orders.root, f"{served.authority}/team/peer:latest", env)])

        ours()
        theirs()
        _, file = bench.package(cache, "--platform", ONE)
        same = measure.alternately(bench.runs, ours, theirs, lambda: publish(file))
        line = measure.alternately(bench.runs, after(change(bench), counted), theirs)
    released, no_slower = Aim("ratio", 0.5), Aim("ratio", 1)
    return [
        Row("commit to digest, warm, nothing changed", seconds(same[0]), seconds(same[1]), BUILDX),
        Row("bundle to verified digest, warm", seconds(same[2]), seconds(same[1]), BUILDX, "s", released),
        Row("commit to digest, warm, one line changed", seconds(line[0]), seconds(line[1]), BUILDX, "s", no_slower),
        Row("uploaded then, beyond the service's layer", (max(beyond),), unit="KB", aim=Aim("figure", 20e3)),
    ]


def foretell(bench: Bench) -> list[Row]:
    """The digest of an image of 200 packages, its layers in the cache, in a process of its own."""
    script = str(Path(__file__).with_name("foretell.py"))
    with bench.folder() as folder:
        command = [bench.programs.named("python"), "-I", script, str(folder / "work")]
        env = bench.env | {"CDAF_CACHE": str(folder / "cache")}
        measure.run([*command, "prepare", str(_PACKAGES)], env, folder)
        told = measure.run(command, env, folder)
        samples = [measure.run(command, env, folder) for _ in range(4 * bench.runs)]
        assert {each.stdout for each in samples} == {told.stdout}
    what = f"digest foretold, {_PACKAGES} packages, layers cached"
    return [Row(what, seconds(samples), unit="ms", aim=Aim("figure", 0.1))]


def _peer(
    bench: Bench,
    root: Path,
    prepared: Path,
    sizes: dict[str, float],
    told: str,
    *,
    bytecode: bool = True,
    dockerfile: str = "Dockerfile",
) -> Sample:
    """Build and push on an engine and to a registry that have never seen anything."""
    with fresh.started() as engine, registry(bench) as served:
        env, name = bench.env | engine, f"{served.authority}/team/orders:peer"
        built = docker.build(root, prepared, env, bytecode=bytecode, dockerfile=dockerfile)
        pushed = docker.push(root, name, env)
        sizes[told] = image.compressed(name)
        return measure.total([built, pushed])


def _by_zstd(bench: Bench, folder: Path) -> float:
    """The compressed size of orders' image when its layers are zstd."""
    chosen = replace(bench, env=bench.env | {"CDAF_IMAGE_COMPRESSION": "zstd"})
    _, file = chosen.package(folder / "cache", "--platform", ONE)
    with registry(bench) as served:
        return float(image.compressed(bench.publish(folder / "cache", file, served.authority).stdout))


def _kept(bench: Bench, folder: Path, platforms: Sequence[str]) -> Path:
    """A bundle, moved aside: the next one may have the same name."""
    options = [part for platform in platforms for part in ("--platform", platform)]
    _, file = bench.package(folder / "cache", *options)
    kept = folder / f"{len(platforms)}.cdaf"
    shutil.move(file, kept)
    return kept
