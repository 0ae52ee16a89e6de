"""What bytecode in the image is worth: the time from starting a service to its first answer."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

from benchmarks import measure
from benchmarks.bench import ONE, Bench, seconds
from benchmarks.measure import Sample
from benchmarks.table import Row

WITHOUT = "without bytecode"


def start(bench: Bench) -> list[Row]:
    """orders' own command in a container of its image, without and with bytecode."""
    command = tomllib.loads((bench.orders.root / "cdaf.toml").read_text())["service"]["start"]
    probe = Path(__file__).with_name("start.py").read_text()
    with bench.folder() as folder:
        given = {flag: _given(bench, folder / flag, flag) for flag in ("true", "false")}

        def answered(flag: str) -> Sample:
            limits = ["--rm", "--network=none", "--label=io.cdaf.benchmarks"]
            told = ["docker", "run", *limits, given[flag][0], "python", "-c", probe, *command]
            return Sample(float(measure.run(told, bench.env, folder).stdout))

        for flag in given:
            answered(flag)
        ours, theirs = measure.alternately(bench.runs, lambda: answered("true"), lambda: answered("false"))
    sizes = [(float(size),) for _, size in given.values()]
    return [
        Row("orders, from start to first answer", seconds(ours), seconds(theirs), WITHOUT, "ms"),
        Row("image with bytecode, own layers, compressed", sizes[0], sizes[1], WITHOUT, "MB"),
    ]


def _given(bench: Bench, folder: Path, bytecode: str) -> tuple[str, int]:
    """An image of orders: its id in the engine, and the size of its own layers."""
    env = bench.env | {"CDAF_CACHE": str(folder / "cache"), "CDAF_IMAGE_BYTECODE": bytecode}
    folder.mkdir()
    told = measure.run([bench.programs.named("cdaf"), "package", "--platform", ONE], env, bench.orders.root)
    file = folder / "orders.cdaf"
    shutil.move(bench.orders.root / told.stdout, file)
    script = str(Path(__file__).with_name("loaded.py"))
    loaded = measure.run([bench.programs.named("python"), "-I", script, str(file)], env, folder)
    there, size = loaded.stdout.split()
    return there, int(size)
