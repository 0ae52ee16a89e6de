"""One digest, whoever assembles: users, time zones, locales, umasks, workers, CPUs, over 1,000 random bundles.

Elsewhere is a process started for it, with a cache of its own that starts empty; emulated CPUs are QEMU's.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from uv import find_uv_bin

from cdaf.images import parse
from cdaf.images.layers import Promise
from cdaf.registries import reference, registry
from tests import stands, synthetic
from tools import apt, state

CHECKOUT = Path(__file__).parents[1]
COUNT = 1000
QUICK = 40
EMULATED = 60  # of them: emulated, each takes half a second
# Another user id that may read what this one may: a user namespace. Where there are none, the test fails and says so.
SOMEBODY = ("unshare", "--user", "--map-user=1234", "--map-group=1234")
CONDITIONS: Mapping[str, tuple[Sequence[str], dict[str, str], int]] = {
    "one worker, UTC": ((), {"CDAF_WORKERS": "1", "TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"}, 0o022),
    "two workers, another user, the far east": (
        SOMEBODY,
        {"CDAF_WORKERS": "2", "TZ": "Pacific/Kiritimati", "LC_ALL": "C.UTF-8", "USER": "x", "PYTHONHASHSEED": "2"},
        0o077,
    ),
    "eight workers, half an hour from others": (
        (),
        {"CDAF_WORKERS": "8", "TZ": "America/St_Johns", "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "3"},
        0o000,
    ),
}
CPUS = {"without AVX": "Nehalem", "with AVX2": "Haswell-v1"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "corpus"
    synthetic.write(path, seed=1, count=COUNT)
    return path


def elsewhere(corpus: Path, count: int, words: Sequence[str], env: Mapping[str, str] = {}, umask: int = 0o022) -> str:
    """What a process of its own makes of the first of the corpus, a digest a line."""
    told = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **env}
    done = subprocess.run(
        [*words, "-m", "tests.synthetic", str(corpus), "0", str(count)],
        cwd=CHECKOUT,
        env=told,
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == count
    return done.stdout


def in_all(corpus: Path, count: int) -> dict[str, str]:
    """What each of the conditions gives, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        waiting = {
            name: pool.submit(elsewhere, corpus, count, [*words, sys.executable], env, umask)
            for name, (words, env, umask) in CONDITIONS.items()
        }
        return {name: each.result() for name, each in waiting.items()}


def demand_equal(found: Mapping[str, str]) -> None:
    first, *others = found
    for other in others:
        assert found[first].split() == found[other].split(), f"{first} against {other}"


def test_a_few_bundles_everywhere(corpus: Path) -> None:
    found = in_all(corpus, QUICK)
    demand_equal(found)
    assert len(set(next(iter(found.values())).split())) == QUICK


def test_who_was_promised_a_digest_writes_it_without_inflating(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, one in enumerate(synthetic.read(corpus, 0, QUICK)):
        monkeypatch.setenv("CDAF_CACHE", str(tmp_path / f"a{number}"))
        first = synthetic.made(one)
        own = first.layers[len(first.layers) - len(one.wanted.layers) :]
        monkeypatch.setenv("CDAF_CACHE", str(tmp_path / f"b{number}"))
        promised = tuple(Promise(each.digest, each.diff_id, each.size) for each in own)
        assert synthetic.made(one, promised).digest == first.digest


@pytest.mark.slow
def test_a_thousand_bundles_everywhere(corpus: Path) -> None:
    found = in_all(corpus, COUNT)
    demand_equal(found)
    assert len(set(next(iter(found.values())).split())) == COUNT


@pytest.mark.slow
def test_emulated_processors_of_every_kind_write_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    """Both coders choose their code by the CPU; on all of these it is other code."""
    with ThreadPoolExecutor(2) as pool:
        waiting = {"this": pool.submit(elsewhere, corpus, EMULATED, [sys.executable])}
        if platform.machine() == "x86_64":
            emulator = emulated("x86_64")
            for name, cpu in CPUS.items():
                waiting[name] = pool.submit(elsewhere, corpus, EMULATED, [emulator, "-cpu", cpu, sys.executable])
        demand_equal({name: each.result() for name, each in waiting.items()})


@pytest.mark.slow
@pytest.mark.docker
def test_emulated_arm64_writes_the_same_bytes(
    corpus: Path, tmp_path: Path, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the Python of the arm64 base, and the coders' builds for arm64."""
    if mirror != "docker.io":
        monkeypatch.setenv("CDAF_REGISTRY_MIRRORS", f"http://{mirror}")
    root = unpacked("linux/arm64", tmp_path / "root")
    packages = coders("aarch64-manylinux_2_28", tmp_path / "packages")
    (python,) = root.glob("usr/**/bin/python3.13")
    words = [emulated("aarch64"), "-L", str(root), str(python)]
    env = {"PYTHONPATH": f"{CHECKOUT}{os.pathsep}{packages}", "LD_LIBRARY_PATH": "/usr/local/lib", "PYTHONHOME": ""}
    with ThreadPoolExecutor(2) as pool:
        here = pool.submit(elsewhere, corpus, EMULATED, [sys.executable])
        there = pool.submit(elsewhere, corpus, EMULATED, words, env)
        demand_equal({"this": here.result(), "arm64": there.result()})


def emulated(machine: str) -> str:
    """QEMU's emulator of one machine for programs of this system."""
    name = f"qemu-{machine}-static"
    if state.program(name) is None:
        apt.install(["qemu-user-static"])
    return state.program(name) or name


def unpacked(system: str, into: Path) -> Path:
    """The files of the Python base, for an emulator to find its libraries in."""
    into.mkdir()
    named = reference.parse(stands.PYTHON)
    pinned = reference.at(named, registry.resolve(named, system).digest)
    _, layers = parse.manifest(registry.manifest_by_digest(pinned), str(pinned))
    for blob in registry.blobs(pinned, layers):
        with tarfile.open(blob) as layer:
            layer.extraction_filter = lambda member, _: member
            layer.extractall(into, [kept for each in layer if (kept := _plain(each))])
    for folder in ("bin", "lib", "sbin"):
        if not (into / folder).exists():
            (into / folder).symlink_to(f"usr/{folder}")
    return into


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    wanted = member.isdir() or member.isreg() or member.issym() or member.islnk()
    if member.issym() and member.linkname.startswith("/"):
        depth = member.name.strip("./").count("/")
        member.linkname = "../" * depth + member.linkname.lstrip("/")
    return member if wanted else None


def coders(system: str, into: Path) -> Path:
    """The pinned coders and what the assembler imports beside them, built for another machine."""
    wanted = ("deflate", "msgspec", "zstandard")
    uv = find_uv_bin()
    export = [uv, "export", "--quiet", "--frozen", "--no-dev", "--no-hashes", "--project", str(CHECKOUT)]
    listed = state.run(export, "export the requirements of cdaf").splitlines()
    named = [line.split(";")[0].strip() for line in listed if line.startswith(tuple(f"{each}==" for each in wanted))]
    own = ["--target", str(into), "--python-platform", system, "--python-version", "3.13", "--only-binary", ":all:"]
    state.run([uv, "pip", "install", "--quiet", "--no-deps", *own, *named], "install the coders for arm64")
    return into
