"""release/bytecode.py: the same pyc files whatever the workers, the hash seed, the order and what else is compiled."""

import importlib.util
import io
import json
import marshal
import os
import random
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import CodeType

import pytest

from cdaf import assets, engine
from tools import pythons

PROGRAM = Path(__file__).parents[1] / "release" / "bytecode.py"
LIBRARY = Path(os.__file__).parent
# Sets whose texts other modules of the same process have interned already, and such as one has alone.
SETS = """
def f(x):
    return x in {'filename', 'own-%d', 'lineno', None, 1.5}
A = [b for b in 'ab' if b in {'a', 'c'}]
"""
SOURCES = {
    **{f"/app/sets/{number}.py": (SETS % (number % 3)).encode() for number in range(60)},
    "/app/broken.py": b"def f(:\n",
    "/app/nul.py": b"a = '\0'\n",
    "/app/encoding.py": b"# coding: nonsense\n",
    "/app/latin.py": "# coding: latin-1\nname = 'ä'\n".encode("latin-1"),
    "/app/bad_utf8.py": b"name = '\xff'\n",
    "/app/template.py": b"import {{ name }}\n",
    "/app/deep.py": b"x = " + b"(" * 5000 + b")" * 5000 + b"\n",
    "/app/escape.py": b"pattern = '\\d'\n",
    "/app/empty.py": b"",
}
BROKEN = {"/app/broken.py", "/app/nul.py", "/app/encoding.py", "/app/bad_utf8.py", "/app/template.py", "/app/deep.py"}


def library(*names: str) -> dict[str, bytes]:
    """Modules of this Python's own library, which hold all that code can hold."""
    files = [path for name in names for path in sorted((LIBRARY / name).rglob("*.py"))]
    return {f"/app/.venv/{path.relative_to(LIBRARY)}": path.read_bytes() for path in files}


def laid(sources: Mapping[str, bytes], seed: int) -> dict[str, bytes]:
    """The files that the program is given: sources in any order, some of them deflated."""
    shuffled = random.Random(seed).sample(sorted(sources), len(sources))
    index, stored = [], bytearray()
    for number, path in enumerate(shuffled):
        coder = zlib.compressobj(wbits=-15)
        deflated = number % 2 == 0
        data = coder.compress(sources[path]) + coder.flush() if deflated else sources[path]
        index.append([path, len(stored), len(data), deflated])
        stored += data
    return {"index.json": json.dumps(index).encode(), "sources": bytes(stored)}


def read(files: Mapping[str, bytes], index: bytes) -> dict[str, bytes]:
    """What came out, by path."""
    paths = [row[0] for row in json.loads(index)]
    numbered = [name.removesuffix(".json") for name in files if name.removesuffix(".json").isdecimal()]
    return {
        paths[place]: files[f"{number}.pyc"][offset : offset + size]
        for number in numbered
        for place, offset, size in json.loads(files[f"{number}.json"])
    }


def here(folder: Path, sources: Mapping[str, bytes], workers: int, seed: int, hashing: str) -> dict[str, bytes]:
    """What this Python makes of the sources."""
    folder.mkdir()
    given = laid(sources, seed)
    for name, data in given.items():
        (folder / name).write_bytes(data)
    env = {"PYTHONHASHSEED": hashing}
    subprocess.run([sys.executable, "-S", "-B", str(PROGRAM), str(folder), str(workers)], check=True, env=env)
    return read({path.name: path.read_bytes() for path in (folder / "out").iterdir()}, given["index.json"])


def test_bytes_hang_on_the_source_alone(tmp_path: Path) -> None:
    sources = {**SOURCES, **library("email", "json", "asyncio")}
    first = here(tmp_path / "first", sources, 1, 1, "0")
    assert set(sources) - set(first) == BROKEN
    for number, (workers, hashing) in enumerate([(2, "0"), (8, "1"), (1, "77"), (3, "random")]):
        assert here(tmp_path / str(number), sources, workers, number, hashing) == first
    alone = {path: sources[path] for path in ("/app/sets/1.py", "/app/escape.py")}
    assert here(tmp_path / "alone", alone, 1, 0, "5") == {path: first[path] for path in alone}


def test_what_is_made_is_unchecked_and_says_where_it_stands(tmp_path: Path) -> None:
    made = here(tmp_path / "one", SOURCES, 2, 0, "0")
    pyc = made["/app/sets/7.py"]
    assert pyc[:4] == importlib.util.MAGIC_NUMBER
    assert pyc[4:8] == (1).to_bytes(4, "little")  # PEP 552: hash-based, not checked
    assert pyc[8:16] == importlib.util.source_hash(SOURCES["/app/sets/7.py"])
    code = marshal.loads(pyc[16:])
    assert isinstance(code, CodeType)
    assert code.co_filename == "/app/sets/7.py"
    names: dict[str, object] = {}
    exec(code, names)
    assert names["A"] == ["a"]
    assert callable(names["f"])
    assert names["f"](None)


def tar(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, data in files.items():
            info = tarfile.TarInfo(f"given/{name}")
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def inside(image: str, sources: Mapping[str, bytes], workers: int, seed: int) -> dict[str, bytes]:
    """What the Python of an image makes of the sources."""
    given = laid(sources, seed)
    ran = engine.run(
        image,
        ["python3", "-I", "-S", "-B", "/given/bytecode.py", "/given", str(workers)],
        put=tar({**given, "bytecode.py": assets.compiler()}),
        take="/given/out",
    )
    assert ran.code == 0, ran.stderr.decode()
    with tarfile.open(fileobj=io.BytesIO(ran.taken)) as taken:
        files = {each.name.rpartition("/")[2]: taken.extractfile(each) for each in taken if each.isfile()}
        return read({name: file.read() for name, file in files.items() if file}, given["index.json"])


@pytest.mark.docker
@pytest.mark.parametrize("version", ["3.11", "3.13", "3.14"])
def test_the_same_from_any_number_of_workers_in_a_base(version: str) -> None:
    name = pythons.image(version)
    found = engine.inspect(name) or {}
    if not found:
        subprocess.run(["docker", "pull", "--quiet", name], check=True, capture_output=True)
        found = engine.inspect(name) or {}
    sources = {**SOURCES, **library("email", "json", "asyncio", "xml", "unittest")}
    first = inside(found["Id"], sources, 1, 0)
    assert set(SOURCES) - set(first) == BROKEN
    assert inside(found["Id"], sources, 2, 1) == first
    assert inside(found["Id"], sources, 8, 2) == first
