"""The program that compiles in a container of the base: sources to unchecked hash-based pyc files (PEP 552).

    python3 bytecode.py FOLDER WORKERS

FOLDER holds `index.json`, a list of [path in the image, offset, stored size, whether deflated], and `sources`, the
stored bytes one after the other. Into FOLDER/out go `told.json` and for each worker N `N.pyc`, pyc files one after the
other, and `N.json`, a list of [place in the index, offset, size]. A source that does not compile is in none of them.

The bytes hang on the sources and on the interpreter's exact version alone: not on the number of workers, the order, or
what a worker compiled before. It runs on Python 3.9 and later and needs only its standard library.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import marshal
import operator
import os
import sys
import warnings
import zlib
from collections.abc import Iterator
from types import CodeType
from typing import IO, Any

UNCHECKED = (1).to_bytes(4, "little")  # hash-based, and nobody compares it with the source
PARTS = ("co_consts", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_filename", "co_name", "co_code")
SETTLED = sys.version_info >= (3, 11)  # from here on marshal writes a set's elements in an order of its own


class Unsettled(Exception):
    """The bytes of this code hang on addresses in memory."""


def main(folder: str, workers: int) -> int:
    """Compile everything; returns the exit code."""
    with open(os.path.join(folder, "index.json"), "rb") as file:
        index = json.load(file)
    out = os.path.join(folder, "out")
    os.makedirs(out, exist_ok=True)
    told = {"version": "%d.%d.%d" % sys.version_info[:3], "tag": sys.implementation.cache_tag}
    with open(os.path.join(out, "told.json"), "w") as file:
        json.dump(told, file)
    shares = shared(index, workers or len(os.sched_getaffinity(0)))
    # A fork even for one worker: how deep the stack is must not hang on their number.
    children = [os.fork() or work(folder, index, share, number) for number, share in enumerate(shares)]
    codes = [os.waitpid(child, 0)[1] for child in children]
    return 1 if any(codes) else 0


def shared(index: list[Any], workers: int) -> list[list[int]]:
    """The places of the index, dealt out so that all workers end at about the same time."""
    shares: list[list[int]] = [[] for _ in range(max(1, min(workers, len(index))))]
    loads = [0] * len(shares)
    for place in sorted(range(len(index)), key=lambda place: (-index[place][2], place)):
        least = loads.index(min(loads))
        shares[least].append(place)
        loads[least] += index[place][2] + 200
    return shares


def work(folder: str, index: list[Any], share: list[int], number: int) -> int:
    """One worker's life: it ends its process."""
    code = 1
    try:
        warnings.simplefilter("ignore")
        gc.disable()  # code has no circles, and looking for them takes a fifth of the time
        compile_all(folder, index, share, os.path.join(folder, "out", str(number)))
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def compile_all(folder: str, index: list[Any], share: list[int], into: str) -> None:
    """Compile a share of the index into `into`.pyc and `into`.json."""
    rows, at = [], 0
    with open(os.path.join(folder, "sources"), "rb") as sources, open(into + ".pyc", "wb") as out:
        for place in share:
            path, offset, size, deflated = index[place]
            pyc = compiled(path, read(sources, offset, size, deflated))
            out.write(pyc)
            if pyc:
                rows.append([place, at, len(pyc)])
            at += len(pyc)
    with open(into + ".json", "w") as file:
        json.dump(rows, file)


def read(sources: IO[bytes], offset: int, size: int, deflated: bool) -> bytes:
    """A source's own bytes."""
    sources.seek(offset)
    stored = sources.read(size)
    return zlib.decompress(stored, -15) if deflated else stored


def compiled(path: str, source: bytes) -> bytes:
    """The pyc of a source; empty when it does not compile, as many a template and a test's input does not."""
    try:
        code = settled(compile(source, path, "exec", dont_inherit=True, optimize=0))
        # What nobody else has marshal writes in another way, before 3.11 even texts: there all is had once more.
        held = [] if SETTLED else list(everything(code))
        pyc = importlib.util.MAGIC_NUMBER + UNCHECKED + importlib.util.source_hash(source) + marshal.dumps(code)
        del held
        return pyc
    except (SyntaxError, ValueError, TypeError, OverflowError, RecursionError, MemoryError, Unsettled):
        return b""


def settled(code: CodeType) -> CodeType:
    """The code with a frozenset of its own wherever it has one.

    CPython shares frozensets or makes them anew by what the process has interned before, and marshal writes what is
    shared in another way.
    """
    constants = tuple([own(each) for each in code.co_consts])
    if all(map(operator.is_, constants, code.co_consts)):
        return code
    return code.replace(co_consts=constants)


def own(constant: object) -> object:
    """A constant of a code object, its frozensets made anew."""
    if isinstance(constant, CodeType):
        return settled(constant)
    if isinstance(constant, frozenset):
        if not (SETTLED or all(isinstance(each, (str, bytes, int, float)) for each in constant)):
            raise Unsettled  # the hash of None is its address
        return frozenset(list(constant))
    return constant


def everything(value: object) -> Iterator[object]:
    """A value of a code object, and all that is in it."""
    yield value
    if isinstance(value, CodeType):
        for name in PARTS:
            yield from everything(getattr(value, name))
    elif isinstance(value, (tuple, frozenset)):
        for each in value:
            yield from everything(each)


if __name__ == "__main__":
    if not SETTLED and sys.flags.hash_randomization:
        os.execve(sys.executable, [sys.executable, "-s", "-S", "-B", *sys.argv], {"PYTHONHASHSEED": "0"})
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
