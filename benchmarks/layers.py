"""Replay the history of locks: what each plan of layers moves, beside one layer for each package.

`python -m benchmarks.layers REPOSITORY[:PATH]…`, each a git repository with a committed uv.lock.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean

from benchmarks import locks
from benchmarks.locks import Lock
from cdaf.images import grouping

Plan = Callable[[Mapping[str, int]], dict[str, str]]  # sizes by package to layers by package


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes over a whole history: by a plan, by one layer for each package; and the most layers that it had."""

    bytes: int
    ideal: int
    layers: int


def together(sizes: Mapping[str, int]) -> dict[str, str]:
    """All packages in one layer, as Dockerfiles have it."""
    return dict.fromkeys(sizes, "all")


def largest(sizes: Mapping[str, int]) -> dict[str, str]:
    """The eight largest from 1 MB on a layer each, the others in one."""
    alone = sorted((name for name in sizes if sizes[name] >= 1_000_000), key=lambda name: (-sizes[name], name))[:8]
    return {name: name if name in alone else "others" for name in sizes}


def hashed(sizes: Mapping[str, int]) -> dict[str, str]:
    """Ten layers by the hash of the name: nothing hangs on anything else."""
    return {name: str(int(hashlib.sha256(name.encode()).hexdigest(), 16) % grouping.MOST) for name in sizes}


def spread(sizes: Mapping[str, int]) -> dict[str, str]:
    """Ten layers, cut anew for each lock where bytes times packages come out smallest: the best for one lock alone."""
    ranked = sorted(sizes, key=lambda name: (-sizes[name], name))
    total = [0]
    for name in ranked:
        total.append(total[-1] + sizes[name])
    never: tuple[float, tuple[int, ...]] = (float("inf"), ())
    best = [(0.0, never[1])] + [never] * len(ranked)
    for _ in range(min(grouping.MOST, len(ranked))):
        best = [
            min(
                (
                    (best[start][0] + (end - start) * (total[end] - total[start]), (*best[start][1], end))
                    for start in range(end)
                ),
                default=never,
            )
            for end in range(len(ranked) + 1)
        ]
    cuts = best[-1][1]
    return {name: str(sum(place >= cut for cut in cuts)) for place, name in enumerate(ranked)}


def chosen(sizes: Mapping[str, int]) -> dict[str, str]:
    """What cdaf does."""
    return {name: layer for layer, names in grouping.group(sizes).items() for name in names}


PLANS: dict[str, Plan] = {
    "all in one": together,
    "by hash of the name": hashed,
    "eight largest, others in one": largest,
    "best cut of each lock": spread,
    "cdaf": chosen,
}


def replay(history: Sequence[Lock], plan: Plan) -> Moved:
    """What goes to a registry that has the image before, at every change; a layer that is not just as it was moves."""
    moved = ideal = most = 0
    had: set[frozenset[str]] = set()
    known: set[str] = set()
    for number, lock in enumerate(history):
        layers: dict[str, list[locks.Package]] = {}
        placed = plan({each.name: each.size for each in lock})
        for each in lock:
            layers.setdefault(placed[each.name], []).append(each)
        has = {
            frozenset(each.identity for each in layer): sum(each.size for each in layer) for layer in layers.values()
        }
        if number:
            moved += sum(size for layer, size in has.items() if layer not in had)
            ideal += sum(each.size for each in lock if each.identity not in known)
        had, known, most = set(has), {each.identity for each in lock}, max(most, len(layers))
    return Moved(moved, ideal, most)


def main(arguments: list[str]) -> int:
    """Replay and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layers", description=__doc__)
    parser.add_argument("repositories", nargs="+", metavar="REPOSITORY[:PATH]")
    histories = {}
    for named in parser.parse_args(arguments).repositories:
        folder, _, path = named.partition(":")
        print(f"reading {named}", file=sys.stderr)
        histories[named] = locks.history(Path(folder), path or "uv.lock")
    print(table(histories), end="")
    return 0


def table(histories: Mapping[str, Sequence[Lock]]) -> str:
    """The figures in Markdown: per history, and for each plan over all of them."""
    kept = [history for history in histories.values() if len(history) > 1]
    rows = ["| changes | packages | MB | MB moved by one layer each |" + "".join(f" {name} |" for name in PLANS)]
    rows.append("|" + "---|" * (4 + len(PLANS)))
    results = {name: [replay(history, plan) for history in kept] for name, plan in PLANS.items()}
    for place, history in enumerate(kept):
        ideal = results["cdaf"][place].ideal
        row = f"| {len(history) - 1} | {len(history[-1])} | {sum(each.size for each in history[-1]) / 1e6:.0f} |"
        row += f" {ideal / 1e6:.0f} |"
        rows.append(row + "".join(f" {found[place].bytes / ideal:.2f} |" for found in results.values()))
    for word, figure in (("geometric mean", _mean), ("all bytes", _all), ("most layers", _most)):
        rows.append(f"| {word} | | | |" + "".join(f" {figure(found)} |" for found in results.values()))
    return "\n".join(rows) + "\n"


def _mean(found: Sequence[Moved]) -> str:
    return f"{geometric_mean([each.bytes / each.ideal for each in found]):.2f}"


def _all(found: Sequence[Moved]) -> str:
    return f"{sum(each.bytes for each in found) / sum(each.ideal for each in found):.2f}"


def _most(found: Sequence[Moved]) -> str:
    return str(max(each.layers for each in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
