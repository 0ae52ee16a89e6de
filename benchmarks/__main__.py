"""Measure cdaf beside what a user would otherwise run, and print the table: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import cases, machine, service, table
from benchmarks.bench import Bench
from tools import state
from tools.state import ToolError


def main(arguments: list[str]) -> int:
    """Measure and print; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        runs, names = 1 if options.quick else options.runs, options.only or list(cases.CASES)
        measured = _measured(runs, names, realtime=options.realtime)
    except ToolError as error:
        return state.explain(error)
    except KeyboardInterrupt:
        return 130
    print(measured, end="")
    if options.write:
        options.write.write_text(table.replaced(options.write.read_text(), measured))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="rounds of A B A B … (default 5)")
    parser.add_argument("--quick", action="store_true", help="one round: shows that everything runs, not how fast")
    parser.add_argument("--only", action="append", choices=list(cases.CASES), help="this case alone; may be repeated")
    parser.add_argument("--realtime", action="store_true", help="on a busy machine, run before all else; needs root")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table between the page's markers")
    return parser


def _measured(runs: int, names: list[str], *, realtime: bool) -> str:
    with TemporaryDirectory(prefix="bench-", dir=state.folder()) as name:
        work = Path(name)
        programs = service.install(work / "cdaf")
        env = dict(os.environ) | {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}
        orders = service.copied(service.ORDERS, work / "orders")
        service.locked(orders, programs, env | {"CDAF_CACHE": str(work / "lock")})
        bench = Bench(runs, work, programs, env, orders)
        facts, rows = machine.facts(programs, env), []
        for case in names:
            with machine.before_all_else(wanted=realtime and case not in cases.IN_CONTAINERS):
                rows += _case(case, bench)
        facts["load"] = machine.load()
        if realtime:
            facts["load"] += "; what runs outside containers, on either side, had a real-time priority"
        return _page(rows, runs, facts)


def _case(name: str, bench: Bench) -> list[table.Row]:
    state.say(f"measuring {name}")
    began = time.monotonic()
    rows = cases.CASES[name](bench)
    for row in rows:
        state.say("  ".join(filter(None, table.cells(row))))
    state.say(f"{name}: {time.monotonic() - began:.0f} s")
    return rows


def _page(rows: list[table.Row], runs: int, facts: dict[str, str]) -> str:
    rounds = f"Medians of {runs} rounds" if runs > 1 else "One round"
    return "\n".join([table.render(rows), f"{rounds}, on:", "", *(f"- {key}: {facts[key]}" for key in facts), ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
