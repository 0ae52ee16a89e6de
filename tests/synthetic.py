"""Random plans over random archives, written to a file once, so that any machine may say what images they become.

`python -m tests.synthetic CORPUS FIRST COUNT` prints an image digest a line; it needs the assembler and nothing else.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from cdaf import store
from cdaf.images import content, image, oci, plan
from cdaf.images.layers import Promise

_WORDS = ("a", "b", "lib", "tests", "x" * 60, "__pycache__", "data", "ü", "日本", "z.py", "with space", "-", "Z")


class Case(msgspec.Struct, frozen=True):
    """One bundle's worth: the plan of an image, what it names, and the base's manifest and config."""

    wanted: plan.ImagePlan
    members: dict[str, bytes]
    base: tuple[bytes, ...] = ()


def write(path: Path, seed: int, count: int) -> None:
    """Write a corpus: each case after its length, four bytes."""
    with path.open("wb") as out:
        for number in range(count):
            data = msgspec.msgpack.encode(case(random.Random(seed * 1_000_003 + number)))
            out.write(len(data).to_bytes(4, "big") + data)


def read(path: Path, first: int, count: int) -> Iterator[Case]:
    """Cases of a corpus, one at a time."""
    with path.open("rb") as file:
        for number in range(first + count):
            size = int.from_bytes(file.read(4), "big")
            if number < first:
                file.seek(size, 1)
            else:
                yield msgspec.msgpack.decode(file.read(size), type=Case)


def made(one: Case, promised: tuple[Promise, ...] = ()) -> oci.Image:
    """The image of a case, in the cache of this process."""
    for data in one.base:
        store.put("blobs", [data])
    held = {name: content.of_bytes(data) for name, data in one.members.items()}
    return image.assemble(one.wanted, held, promised)


def case(dice: random.Random) -> Case:
    """A random bundle."""
    members: dict[str, bytes] = {}
    layers = []
    for number in range(dice.randint(1, 4)):
        entries = tuple(_entry(dice, members, f"l{number}e{each}") for each in range(dice.randint(1, 4)))
        layers.append(plan.Layer(f"layer {number}", entries))
    names = {entry.path.rpartition("/")[2] for layer in layers for entry in layer.entries if hasattr(entry, "path")}
    config = plan.Config(
        command=("run", *sorted(names)[:2]),
        environment={_name(dice): _name(dice) for _ in range(dice.randint(0, 5))},
        user=f"{dice.randint(1, 60000)}:{dice.randint(1, 60000)}",
        folder="/app",
        port=dice.choice([None, 8000]),
        labels={f"org.example.{_name(dice)}": _name(dice) for _ in range(dice.randint(0, 4))},
        volumes=("/data",) * dice.randint(0, 1),
        health=dice.choice([None, plan.Health(("true",), dice.randint(1, 99))]),
    )
    pin, base = _base(dice) if dice.random() < 0.5 else (plan.BasePin("scratch", ""), ())
    platform = dice.choice(["linux/amd64", "linux/arm64"])
    compression: Literal["gzip", "zstd"] = "zstd" if dice.choice(["gzip", "gzip", "zstd"]) == "zstd" else "gzip"
    wanted = plan.ImagePlan(platform, pin, tuple(layers), config, "2026-01-02T03:04:05Z", compression)
    return Case(wanted, members, base)


def _base(dice: random.Random) -> tuple[plan.BasePin, tuple[bytes, ...]]:
    layers = [f"sha256:{dice.getrandbits(256):064x}" for _ in range(dice.randint(0, 3))]
    told = {"Env": [f"{_name(dice)}={_name(dice)}"], "Cmd": ["sh"], "Labels": {_name(dice): _name(dice)}}
    config = msgspec.json.encode(
        {"os": "linux", "architecture": "amd64", "config": told, "rootfs": {"type": "layers", "diff_ids": layers}}
    )
    listed = [{"mediaType": oci.LAYER_GZIP, "digest": digest, "size": 9} for digest in layers]
    described = {"mediaType": oci.CONFIG, "digest": oci.digest_of(config), "size": len(config)}
    manifest = msgspec.json.encode(
        {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": described, "layers": listed}
    )
    return plan.BasePin("registry.example/base", oci.digest_of(manifest)), (manifest, config)


def _entry(dice: random.Random, members: dict[str, bytes], name: str) -> plan.Entry:
    kind, path = dice.random(), f"/app/{name}/{_path(dice)}"
    if kind < 0.35:
        return _unpack(dice, members, name, f"/app/{name}")
    if kind < 0.75:
        members[f"app/{name}"] = _bytes(dice)
        return plan.Place(f"app/{name}", path, dice.choice([0o644, 0o755]))
    if kind < 0.85:
        return plan.Link(path, dice.choice(["target", "../" * 9 + "é", "/usr/bin/" + "long" * 40]))
    return plan.Dir(path, dice.choice([0o755, 0o700, 0o1777]), dice.randint(0, 60000), dice.randint(0, 60000))


def _unpack(dice: random.Random, members: dict[str, bytes], name: str, prefix: str) -> plan.Unpack:
    inside = {f"top/{number}/{_path(dice)}": _bytes(dice) for number in range(dice.randint(1, 6))}
    archive = f"deps/{name}"
    members[archive] = _zip(dice, inside) if dice.random() < 0.6 else _tar(dice, inside)
    moved = tuple(
        plan.Rewrite(f"top/{number}", f"{prefix}/moved{number}", 0o755) for number in range(dice.randint(0, 2))
    )
    skipped = tuple(each for each in sorted(inside) if dice.random() < 0.1)
    return plan.Unpack(archive, f"{prefix}/plain", dice.randint(0, 1), moved, skipped)


def _zip(dice: random.Random, inside: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in inside.items():
            info = zipfile.ZipInfo(name, (dice.randint(1980, 2040), 1, 1, 0, 0, 0))
            info.external_attr = dice.choice([0o100600, 0o100644, 0o100755, 0o100777]) << 16
            info.compress_type = dice.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
            archive.writestr(info, data, compresslevel=dice.randint(1, 9))
    return out.getvalue()


def _tar(dice: random.Random, inside: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=dice.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])) as archive:
        for name, data in inside.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), dice.choice([0o600, 0o755, 0o4755]), dice.randint(0, 1 << 31)
            info.uid, info.uname = dice.randint(0, 999), dice.choice(["", "me"])
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("top/link")
        link.type, link.linkname = tarfile.SYMTYPE, dice.choice(["a", "../b"])
        archive.addfile(link)
    return gzip.compress(out.getvalue(), dice.randint(1, 9), mtime=9) if dice.random() < 0.7 else out.getvalue()


def _bytes(dice: random.Random) -> bytes:
    """Mostly little; sometimes more than a member of a gzip layer holds, or nothing."""
    size = dice.choice([0, 1, 511, 512, 513, dice.randint(0, 3000), dice.randint(0, 30_000)])
    if dice.random() < 0.01:
        size = dice.choice([(1 << 20) - 1, (1 << 20) + 1, 1_500_000])
    word = _random(dice, dice.randint(1, 40))
    return (word * (size // len(word) + 1))[:size] if dice.random() < 0.7 else _random(dice, size)


def _random(dice: random.Random, size: int) -> bytes:
    return dice.getrandbits(8 * size).to_bytes(size, "big") if size else b""


def _name(dice: random.Random) -> str:
    return "".join(dice.choice("ABCdefü_09") for _ in range(dice.randint(1, 9)))


def _path(dice: random.Random) -> str:
    return "/".join(dice.choice(_WORDS) for _ in range(dice.randint(1, 4)))


def main(corpus: str, first: str, count: str) -> None:
    """Print what each case becomes, in a cache that starts empty."""
    with tempfile.TemporaryDirectory(prefix="cdaf-synthetic-") as cache:
        os.environ["CDAF_CACHE"] = cache
        for one in read(Path(corpus), int(first), int(count)):
            sys.stdout.write(made(one).digest + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
