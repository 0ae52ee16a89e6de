"""Bundles for tests: a small real one, and every way to get one wrong, written by hand."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from cdaf import ASSEMBLER_REVISION, assets
from cdaf.bundles import bundle
from cdaf.bundles import manifest as manifests
from cdaf.bundles.manifest import Dependency, Manifest
from cdaf.images import content, plan
from cdaf.images.plan import Plans
from cdaf.projects import sealing
from cdaf.settings import settings
from tests import makers

ROOT = Path(__file__).parents[1]
LAUNCHER = ROOT / "release" / "launcher.py"
WHEEL = b"PK\3\4 not a real wheel, but bytes all the same" * 20
BASE = plan.BasePin("python:3.13-slim", "sha256:" + "b" * 64)
CONTENT: dict[str, bytes] = {
    "app/orders.py": b"print('orders')\n",
    "app/with space.txt": b"",
    "app/\u00fcber/\u65e5\u672c.txt": "häppy\n".encode(),
    "deps/flask-3.1.0-py3-none-any.whl": WHEEL,
    "generated/pyvenv.cfg": b"home = /usr/local/bin\n",
    "locks/uv.lock": b"version = 1\n",
    "smoke/compose/00-extra.yaml": b"services: {}\n",
    "smoke/test_orders.py": b"def test_orders(): pass\n",
}


def manifest(**changes: Any) -> Manifest:
    """A manifest that speaks of CONTENT."""
    dependency = Dependency(
        name="flask",
        version="3.1.0",
        purl="pkg:pypi/flask@3.1.0",
        archive="deps/flask-3.1.0-py3-none-any.whl",
        sha256=hashlib.sha256(WHEEL).hexdigest(),
        platforms=("linux/amd64",),
    )
    values: dict[str, Any] = {
        "service": manifests.Service(
            name="orders",
            version="1.4.0",
            language="python",
            start=("gunicorn", "orders:app"),
            environment={"A": 'q"\n'},
        ),
        "source": manifests.Source(time="2026-11-01T12:00:00Z", commit="1a2b3c4d5e6f"),
        "bases": (manifests.Base(platform="linux/amd64", reference=BASE.reference, digest=BASE.digest),),
        "smoke": manifests.Smoke(declared=settings.Smoke(health="/healthz"), compose=("smoke/compose/00-extra.yaml",)),
        "tools": manifests.Tools(cdaf="0.1.0", assembler=1, resolver={"uv": "0.9.0"}),
        "dependencies": (dependency,),
    }
    return Manifest(format=1, **values | changes)


def plans(*extra: plan.Entry) -> Plans:
    """Plans that speak of CONTENT."""
    entries = (
        plan.Unpack("deps/flask-3.1.0-py3-none-any.whl", "app/.venv/lib/python3.13/site-packages"),
        plan.Place("app/orders.py", "app/orders.py"),
        plan.Link("app/.venv/bin/python", "/usr/local/bin/python3.13"),
        plan.Dir("app/state", uid=10001, gid=10001),
    )
    config = plan.Config(("gunicorn",), {"LANG": "C.UTF-8", "ÜNI": "\u2028"}, "app", "/app", 8000, {})
    layers = (plan.Layer("service", (*entries, *extra)),)
    return Plans(format=1, images=(plan.ImagePlan("linux/amd64", BASE, layers, config, "2026-11-01T12:00:00Z"),))


def sealed(into: Path, content: Mapping[str, bytes | Path] = CONTENT) -> bundle.Bundle:
    """The small real bundle."""
    return bundle.seal(into, manifest(), plans(), {**CONTENT, **content})


def foretold(into: Path, files: Mapping[str, str | bytes], *more: plan.Layer) -> bundle.Bundle:
    """A bundle on scratch whose wheel holds `files`, its image foretold; `more` are layers on top."""
    wheel = makers.archive(into / "flask-3.1.0-py3-none-any.whl", files).read_bytes()
    contents = {name: content.of_bytes(data) for name, data in CONTENT.items()}
    contents["deps/flask-3.1.0-py3-none-any.whl"] = content.of_bytes(wheel)
    (image,) = plans().images
    scratch = msgspec.structs.replace(image, base=plan.BasePin("scratch", ""), layers=(*image.layers, *more))
    planned = Plans(format=1, images=(scratch,))
    (told,) = manifest().dependencies
    dependency: Dependency = msgspec.structs.replace(told, sha256=hashlib.sha256(wheel).hexdigest())
    described = manifest(
        images=sealing.foretell(planned, contents),
        dependencies=(dependency,),
        bases=(),
        tools=manifests.Tools(cdaf="0.1.0", assembler=ASSEMBLER_REVISION),
    )
    return sealing.seal(into, described, planned, contents)


def members() -> dict[str, bytes]:
    """What the small real bundle holds, without SHA256SUMS."""
    own = {"manifest.toml": manifests.encode(manifest()), "plan.json": plan.encode(plans())}
    return {**CONTENT, **own, "__main__.py": assets.launcher()}


def sums(content: Mapping[str, bytes]) -> bytes:
    """SHA256SUMS, written without cdaf."""
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode() for name, data in content.items()]
    lines.sort(key=lambda line: line[66:])
    return b"".join(lines)


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


@functools.cache
def launcher() -> ModuleType:
    """The launcher as a module, for tests that call its functions."""
    spec = importlib.util.spec_from_file_location("launcher", LAUNCHER)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def interpreters() -> tuple[str, ...]:
    """One Python of each version from 3.9 on that this machine has, oldest first, this one among them."""
    asked = ["pyenv", "root"]
    root = subprocess.run(asked, capture_output=True, text=True, check=False).stdout if shutil.which("pyenv") else ""
    kept = sorted(map(str, Path(root.strip()).glob("versions/3.*/bin/python"))) if root.strip() else []
    on_path = filter(None, (shutil.which(f"python3.{minor}") for minor in range(9, 20)))
    found: dict[str, str] = {}
    for candidate in (sys.executable, "/usr/bin/python3", *on_path, *kept):
        program = "import sys; print('%d.%02d' % sys.version_info[:2])"
        done = subprocess.run([candidate, "-c", program], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() >= "3.09":
            found.setdefault(done.stdout.strip(), candidate)
    return tuple(found[version] for version in sorted(found))


@dataclass
class Piece:
    """A member on its way into a hand-written zip; `local` and `central` replace header fields by their place."""

    name: bytes
    data: bytes
    local: dict[int, int] = field(default_factory=dict)
    central: dict[int, int] = field(default_factory=dict)
    local_extra: bytes = b""
    central_extra: bytes = b""
    comment: bytes = b""
    before: bytes = b""  # bytes that belong to no member


def pieces(content: Mapping[str, bytes]) -> list[Piece]:
    """The members of a correct bundle, SHA256SUMS added, in order."""
    complete = {**content, "SHA256SUMS": sums(content)}
    return [Piece(name.encode(), complete[name]) for name in sorted(complete, key=str.encode)]


def zipped(
    parts: Sequence[Piece],
    *,
    prefix: bytes = b"",
    before_index: bytes = b"",
    index_order: Callable[[list[bytes]], list[bytes]] = lambda index: index,
    end: Mapping[int, int] = {},
    zip64: bool = False,
    after: bytes = b"",
) -> bytes:
    """A zip of these parts; with nothing but parts, the canonical one, written without cdaf's own writer."""
    body, index = bytearray(prefix), []
    for part in parts:
        body += part.before
        offset, crc, size = len(body), zlib.crc32(part.data), len(part.data)
        shared = [20, 0x800, 0, 0, 0x21, crc, size, size, len(part.name)]
        local = [b"PK\3\4", *shared, len(part.local_extra)]
        central = [b"PK\1\2", 0x314, *shared, len(part.central_extra), len(part.comment), 0, 0, 0o100644 << 16, offset]
        for fields, changes in ((local, part.local), (central, part.central)):
            for place, value in changes.items():
                fields[place] = value
        body += struct.pack("<4s5H3I2H", *local) + part.name + part.local_extra + part.data
        index.append(struct.pack("<4s6H3I5H2I", *central) + part.name + part.central_extra + part.comment)
    body += before_index
    directory = b"".join(index_order(index))
    offset = len(body)
    count = len(parts)
    body += directory
    if zip64:
        body += struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 0x32D, 45, 0, 0, count, count, len(directory), offset)
        body += struct.pack("<4sIQI", b"PK\6\7", 0, offset + len(directory), 1)
    fields = [b"PK\5\6", 0, 0, count, count, len(directory), offset, 0]
    for place, value in end.items():
        fields[place] = value
    return bytes(body + struct.pack("<4s4H2IH", *fields) + after)
