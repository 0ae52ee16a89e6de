"""Decoding by types, by many threads at once."""

import subprocess
import sys

PROGRAM = """
import sys, threading
import msgspec
from cdaf import typed

def fresh():
    class Leaf(msgspec.Struct):
        number: int
        text: str = ""

    class Node(msgspec.Struct):
        leaves: tuple[Leaf, ...]
        named: dict[str, Leaf]
        own: Leaf | None = None

    class Root(msgspec.Struct):
        nodes: list[Node]
        last: Node | None = None

    return Root

DATA = {"nodes": [{"leaves": [{"number": 1}], "named": {"k": {"number": 2}}}]}
sys.setswitchinterval(1e-6)
for turn in range(400):
    kind, begin, found = fresh(), threading.Barrier(4), []

    def work():
        begin.wait()
        if turn % 2:
            found.append(typed.decode(msgspec.json.encode(DATA), kind))
        else:
            found.append(typed.convert(DATA, kind))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [each.nodes[0].named["k"].number for each in found] == [2] * 4
"""


def test_a_type_may_be_used_first_by_several_threads_at_once() -> None:
    """By the library alone the process crashes within the first dozens of turns."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
