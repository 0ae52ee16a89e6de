"""What the engine is given before a smoke test."""

from __future__ import annotations

from pathlib import Path

from benchmarks import measure
from benchmarks.bench import ONE, Bench, after, change, seconds
from benchmarks.measure import Sample
from benchmarks.table import Aim, Row
from tools import fresh


def load(bench: Bench) -> list[Row]:
    """One line changed each time, on an engine that had the image before."""
    script = str(Path(__file__).with_name("load.py"))
    with bench.folder() as folder, fresh.started() as engine:
        env = bench.env | engine | {"CDAF_CACHE": str(folder / "cache")}

        def ours() -> Sample:
            file = bench.package(folder / "cache", "--platform", ONE)[1]
            done = measure.run([bench.programs.named("python"), "-I", script, str(file)], env, folder)
            return Sample(float(done.stdout))

        ours()
        samples = [after(change(bench), ours)() for _ in range(bench.runs)]
    return [Row("warm, one line changed: the engine's load", seconds(samples), unit="ms", aim=Aim("figure", 0.05))]
