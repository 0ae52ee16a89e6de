"""Sealing and opening: what goes in comes out, every fault is told, and nothing is ever half there."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdaf import assets, progress
from cdaf.bundles import bundle
from cdaf.bundles import manifest as manifests
from cdaf.bundles.manifest import Dependency
from cdaf.errors import BundleError, CdafError, ProjectError, UsageError, exit_code
from cdaf.images import plan
from tests import bundlekit
from tests.bundlefaults import FAULTS, FAULTS_OF_TYPE, WHOLE
from tests.bundlekit import CONTENT, manifest, names, plans

SEAL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests import bundlekit
content = {f"app/{path.name}": path for path in sorted(Path(sys.argv[3]).iterdir())} if sys.argv[3:] else {}
"""


def run(program: str, *words: str | Path, **how: Any) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", SEAL + program, str(bundlekit.ROOT), *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, **how)


# What goes in comes out.


def test_what_is_sealed_is_what_opens(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"from a file")
    made = bundlekit.sealed(tmp_path / "dist", {"app/file": tmp_path / "source"})
    assert made.path == tmp_path / "dist" / "orders-1.4.0.cdaf"
    assert names(tmp_path / "dist") == ["orders-1.4.0.cdaf"]
    opened = bundle.open(made.path)
    assert opened == made
    assert (opened.manifest, opened.plans) == (manifest(), plans())
    assert list(opened.members) == sorted(opened.members, key=str.encode)
    for name, data in {**CONTENT, "app/file": b"from a file", "__main__.py": assets.launcher()}.items():
        assert bundle.data(opened, name) == data
        assert opened.members[name].sha256 == hashlib.sha256(data).hexdigest()
    assert opened.identity == f"sha256:{hashlib.sha256(bundle.data(opened, 'SHA256SUMS')).hexdigest()}"


def test_the_bytes_are_those_of_the_specification(tmp_path: Path) -> None:
    assert bundlekit.sealed(tmp_path).path.read_bytes() == WHOLE


PARTS = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\\/"), min_size=1, max_size=12
).filter(lambda part: part not in (".", ".."))


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.tuples(st.sampled_from(["app", "smoke"]), PARTS).map("/".join), st.binary(max_size=70_000)))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes]) -> None:
    folder = tmp_path_factory.getbasetemp() / "round trip"
    wanted = {**content, **CONTENT}
    made = bundlekit.sealed(folder, content)
    opened = bundle.open(made.path)
    assert opened == made
    assert {name: bundle.data(opened, name) for name in wanted} == wanted
    with made.path.open("rb") as file:
        found, faults = bundlekit.launcher().check(file)
    assert not faults
    assert {name: one.sha256 for name, one in found.items()} == {n: m.sha256 for n, m in opened.members.items()}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 70_000), st.integers(-1, 70_000)), max_size=8))
def test_a_stream_is_a_file(large: bundle.Bundle, steps: list[tuple[int, int]]) -> None:
    whole = bundle.data(large, "app/large")
    with bundle.stream(large, "app/large") as stream:
        assert (stream.readable(), stream.seekable(), stream.writable()) == (True, True, False)
        for place, count in steps:
            assert stream.seek(place) == place
            assert stream.read(count) == whole[place:][: count if count >= 0 else None]
        assert stream.seek(-3, os.SEEK_END) == len(whole) - 3
        assert stream.read() == whole[-3:]
        assert stream.read() == b""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    return bundlekit.sealed(tmp_path_factory.mktemp("large"), {"app/large": random.Random(1).randbytes(50_000)})


def test_threads_read_through_streams_of_their_own(large: bundle.Bundle) -> None:
    whole = bundle.data(large, "app/large")

    def read(number: int) -> bytes:
        with bundle.stream(large, "app/large") as stream:
            return b"".join(iter(lambda: stream.read(1000 + number), b""))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(32))) == {whole}


def test_a_file_that_changes_after_it_was_verified(tmp_path: Path) -> None:
    opened = bundle.open(bundlekit.sealed(tmp_path).path)
    with pytest.raises(BundleError, match="no member app/nothing"):
        bundle.data(opened, "app/nothing")
    stream = bundle.stream(opened, "__main__.py")
    with opened.path.open("r+b") as file:
        file.truncate(100)
    with pytest.raises(BundleError, match="changed since"):
        bundle.data(opened, "app/orders.py")
    with stream, pytest.raises(BundleError, match="changed since"):
        stream.read(9000)
    with bundle.stream(bundlekit.sealed(tmp_path), "app/orders.py") as stream:
        assert stream.read() == CONTENT["app/orders.py"]
    with pytest.raises(BundleError, match="changed since"):
        bundle.stream(opened, "app/orders.py")


# What cannot be sealed.


def test_all_names_that_cannot_be_sealed_are_told_at_once(tmp_path: Path) -> None:
    listed = ["/etc/passwd", "app/../x", "app\\x", "app/\n", "app/\udcff", "lib/x", "plan.json"]
    wrong = dict.fromkeys(listed, b"")
    with pytest.raises(ProjectError) as caught:
        bundlekit.sealed(tmp_path, {**wrong, "app/orders.py/x": b"", "SHA256SUMS": b""})
    for said in (
        *("/etc/passwd", "app/../x", "app\\x", r"'app/\n'", r"'app/\udcff'", "lib/x"),
        *("plan.json: the bundle has its own", "SHA256SUMS: the bundle has its own", "app/orders.py: is a file and"),
    ):
        assert said in caught.value.message
    assert not names(tmp_path)


def test_all_files_that_cannot_be_read_are_told_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    wrong = {"app/none": tmp_path / "none", "app/folder": tmp_path, "app/pipe": tmp_path / "pipe"}
    with pytest.raises(ProjectError) as caught:
        bundlekit.sealed(tmp_path / "dist", wrong)
    assert all(f"{name}: " in caught.value.message for name in wrong)
    assert not (tmp_path / "dist").exists()


def test_references_to_nowhere_are_not_sealed(tmp_path: Path) -> None:
    extra = Dependency(name="x", version="1", purl="p", archive="deps/x", sha256="0" * 64, platforms=())
    described = manifest(dependencies=(*manifest().dependencies, extra))
    with pytest.raises(BundleError) as caught:
        bundle.seal(tmp_path, described, plans(plan.Place("app/none", "x")), CONTENT)
    assert "deps/x is missing" in caught.value.message
    assert "app/none, which is missing" in caught.value.message
    with pytest.raises(BundleError, match="another SHA-256"):
        bundle.seal(tmp_path, described, plans(), {**CONTENT, "deps/x": b"other bytes"})
    assert not names(tmp_path)


@pytest.mark.parametrize("large", [10, 3_000_000])
def test_a_file_that_changed_since_it_was_read_is_not_sealed(tmp_path: Path, large: int) -> None:
    old = bundlekit.sealed(tmp_path / "dist").path.read_bytes()
    (tmp_path / "file").write_bytes(b"x" * large)
    with pytest.raises(ProjectError, match="app/file"):
        bundle.seal(
            tmp_path / "dist", manifest(), plans(), {**CONTENT, "app/file": tmp_path / "file"}, {"app/file": "0" * 64}
        )
    assert (tmp_path / "dist" / "orders-1.4.0.cdaf").read_bytes() == old
    assert names(tmp_path / "dist") == ["orders-1.4.0.cdaf"]


@pytest.mark.parametrize("change", [lambda file: file.truncate(1_500_000), lambda file: file.write(b"more")])
def test_a_file_that_changes_while_it_is_sealed(tmp_path: Path, change: Any) -> None:
    (tmp_path / "file").write_bytes(bytes(3_000_000))

    class Meddling(progress.Silent):
        @contextmanager
        def transfer(self, label: str, total: int | None) -> Iterator[Any]:
            with (tmp_path / "file").open("r+b") as file:
                file.seek(0, os.SEEK_END)
                change(file)
            yield lambda _: None

    before = progress._sink
    progress.use(Meddling())
    try:
        with pytest.raises(ProjectError, match=r"app/file: .*changed while it was being sealed"):
            bundlekit.sealed(tmp_path / "dist", {"app/file": tmp_path / "file"})
    finally:
        progress.use(before)
    assert names(tmp_path / "dist") == []


def test_a_service_whose_name_is_no_file_name(tmp_path: Path) -> None:
    service = manifests.Service(name="@team/orders", version="1", language="node", start=("node",))
    with pytest.raises(ProjectError, match="cannot be a file's name"):
        bundle.seal(tmp_path, manifest(service=service), plans(), CONTENT)


# Opening.


@pytest.mark.parametrize("fault", [*FAULTS, *FAULTS_OF_TYPE])
def test_every_fault_is_told(tmp_path: Path, fault: str) -> None:
    data, said = {**FAULTS, **FAULTS_OF_TYPE}[fault]
    path = tmp_path / "faulty.cdaf"
    path.write_bytes(data)
    with pytest.raises(BundleError) as caught:
        bundle.open(path)
    assert said in caught.value.message
    assert caught.value.hint
    assert exit_code(caught.value) == 5
    assert caught.value.message.replace("\n", "").isprintable(), "nothing of the file reaches the terminal unescaped"
    assert names(tmp_path) == ["faulty.cdaf"]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    data = bundlekit.members()
    parts = bundlekit.pieces({**data, "app/extra": b"x"} | {"app/gone": b"x"})
    parts = [part for part in parts if part.name != b"app/gone"]
    by_name = {part.name: part for part in parts}
    by_name[b"app/orders.py"].data = b"changed"
    by_name[b"plan.json"].local = {4: 9}
    by_name[b"smoke/test_orders.py"].before = b"gap"
    path = tmp_path / "faulty.cdaf"
    path.write_bytes(bundlekit.zipped([*parts, bundlekit.Piece(b"zzz/../x", b"")], after=b"trailing"))
    with pytest.raises(BundleError) as caught:
        bundle.open(path)
    for said in (
        *("8 bytes follow", "plan.json: header: time", "smoke/test_orders.py: 3 bytes that belong to no member"),
        *("app/gone: missing", "app/orders.py: changed", "zzz/../x: name escapes", "zzz/../x: not listed"),
    ):
        assert said in caught.value.message


def test_another_format_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "x.cdaf").write_bytes(FAULTS["manifest of another format"][0])
    with pytest.raises(BundleError) as caught:
        bundle.open(tmp_path / "x.cdaf")
    assert caught.value.hint == "upgrade cdaf"


@pytest.mark.parametrize("odd", [b"x = " + b"[" * 9_999, b"x = " + b"{a=" * 9_999])
def test_a_manifest_deeper_than_any_is_refused(odd: bytes) -> None:
    with pytest.raises(BundleError, match=r"manifest\.toml"):
        manifests.decode(b"format = 1\n" + odd)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        bundle.open(tmp_path / "none.cdaf")
    os.mkfifo(tmp_path / "pipe.cdaf")
    for name in ("", "pipe.cdaf"):
        with pytest.raises(BundleError, match="not a regular file"):
            bundle.open(tmp_path / name)


@pytest.mark.slow
def test_two_thousand_changes_of_a_byte(tmp_path: Path) -> None:
    path = bundlekit.sealed(tmp_path).path
    whole = path.read_bytes()
    chance = random.Random(20_261_101)
    accepted = []
    with path.open("r+b", buffering=0) as file:
        for _ in range(2_000):
            place = chance.randrange(len(whole))
            value = chance.choice([byte for byte in range(256) if byte != whole[place]])
            os.pwrite(file.fileno(), bytes([value]), place)
            try:
                bundle.open(path)
                accepted.append(("open", place, value))
            except BundleError:
                pass
            if not bundlekit.launcher().check(file)[1]:
                accepted.append(("launcher", place, value))
            os.pwrite(file.fileno(), whole[place : place + 1], place)
    assert not accepted
    assert bundle.open(path)


def test_every_byte_of_every_header_counts(tmp_path: Path) -> None:
    path = bundlekit.sealed(tmp_path).path
    whole = path.read_bytes()
    inside = {place for one in bundle.open(path).members.values() for place in range(one.offset, one.offset + one.size)}
    accepted = []
    with path.open("r+b", buffering=0) as file:
        for place in sorted(set(range(len(whole))) - inside):
            os.pwrite(file.fileno(), bytes([whole[place] ^ (1 << place % 8)]), place)
            try:
                bundle.open(path)
                accepted.append(place)
            except BundleError:
                pass
            os.pwrite(file.fileno(), whole[place : place + 1], place)
    assert not accepted


# Any circumstance, the same bytes.


@pytest.mark.parametrize(
    "env",
    [
        {"TZ": "Asia/Tokyo"},
        {"LC_ALL": "C"},
        {"LC_ALL": "de_DE.ISO-8859-1"},
        {"PYTHONHASHSEED": "7"},
        {"PYTHONUTF8": "0"},
    ],
    ids=str,
)
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_the_same_bytes_everywhere(tmp_path: Path, env: dict[str, str], umask: int) -> None:
    done = run("print(bundlekit.sealed(Path(sys.argv[2])).identity)", tmp_path, env=os.environ | env, umask=umask)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "orders-1.4.0.cdaf"
    assert path.read_bytes() == WHOLE
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_order_and_kind_of_the_sources_do_not_count(tmp_path: Path) -> None:
    files = dict(reversed(list(CONTENT.items())))
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o777)
    made = bundle.seal(tmp_path / "dist", manifest(), plans(), {name: tmp_path / name for name in files})
    assert made.path.read_bytes() == WHOLE


# Whole or not at all.


@pytest.fixture(scope="module")
def heap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files worth some time to seal."""
    folder = tmp_path_factory.mktemp("heap")
    for number in range(6):
        (folder / str(number)).write_bytes(random.Random(number).randbytes(8 << 20))
    return folder


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path, heap: Path) -> None:
    argv = [sys.executable, "-c", SEAL + "bundlekit.sealed(Path(sys.argv[2]), content)"]
    argv += [str(bundlekit.ROOT), str(tmp_path), str(heap)]
    path = tmp_path / "orders-1.4.0.cdaf"
    chance, halves = random.Random(9), 0
    before: list[str] = []
    for number in range(20):
        process = subprocess.Popen(argv)
        while process.poll() is None and set(names(tmp_path)) <= set(before):
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02) * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if path.exists():
            bundle.open(path)
            path.unlink()
        before = names(tmp_path)
        assert all(name.startswith(".cdaf-part-") for name in before)
        assert len(before) <= 1, "each run removes what the one before left"
        halves += bool(before)
    assert halves, "no kill came in the middle"
    bundlekit.sealed(tmp_path)
    assert names(tmp_path) == ["orders-1.4.0.cdaf"]


def test_interrupted(tmp_path: Path, heap: Path) -> None:
    program = """
class Interrupting(progress.Silent):
    @contextmanager
    def transfer(self, label, total):
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        yield lambda _: None
signal.signal(signal.SIGALRM, signal.default_int_handler)
progress.use(Interrupting())
bundlekit.sealed(Path(sys.argv[2]), content)
"""
    before = "import signal\nfrom contextlib import contextmanager\nfrom cdaf import progress\n"
    done = run(before + program, tmp_path, heap)
    assert "KeyboardInterrupt" in done.stderr  # on the last line, or before that of a lock which it broke
    assert names(tmp_path) == []


def test_several_at_once(tmp_path: Path, heap: Path) -> None:
    words = [str(bundlekit.ROOT), str(tmp_path), str(heap)]
    program = SEAL + "for _ in range(3): bundlekit.sealed(Path(sys.argv[2]), content)"
    running = [subprocess.Popen([sys.executable, "-c", program, *words]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert names(tmp_path) == ["orders-1.4.0.cdaf"]
    bundle.open(tmp_path / "orders-1.4.0.cdaf")


# A file system of one megabyte, in a mount namespace of its own so that it is gone with the process. As a user other
# than root this takes user namespaces; where there are none, the test fails and says so.
FULL = ["unshare", "--mount", "--map-root-user", "sh", "-c", 'mount -t tmpfs -o size=1m none "$0" && exec "$@"']


def test_disk_full(tmp_path: Path, heap: Path) -> None:
    program = """
from cdaf.errors import CdafError, exit_code
bundlekit.sealed(Path(sys.argv[2]))
before = (Path(sys.argv[2]) / "orders-1.4.0.cdaf").read_bytes()
try:
    bundlekit.sealed(Path(sys.argv[2]), content)
except CdafError as error:
    print(exit_code(error), error.message, error.hint, bundlekit.names(Path(sys.argv[2])), sep="|")
assert (Path(sys.argv[2]) / "orders-1.4.0.cdaf").read_bytes() == before
"""
    python = [sys.executable, "-c", SEAL + program, str(bundlekit.ROOT), str(tmp_path), str(heap)]
    done = subprocess.run([*FULL, str(tmp_path), *python], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"a file system of its own could not be mounted, or: {done.stderr}"
    code, message, hint, left = done.stdout.strip().split("|")
    assert code == "75"
    assert "orders-1.4.0.cdaf cannot be written: No space left on device" in message
    assert "free space" in hint
    assert left == "['orders-1.4.0.cdaf']"


def test_a_file_too_large_for_its_limit(tmp_path: Path, heap: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
    done = run(limit + "bundlekit.sealed(Path(sys.argv[2]), content)", tmp_path, heap)
    assert "UsageError: " in done.stderr.splitlines()[-1]
    assert names(tmp_path) == []


# Large.


@pytest.mark.slow
def test_a_file_of_three_gigabytes(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    if free < 4 << 30:
        pytest.fail(f"{tmp_path} has {free >> 20} MiB free, and this test writes 3 GiB", pytrace=False)
    (tmp_path / "files").mkdir()
    with (tmp_path / "files" / "large").open("wb") as file:
        file.truncate(3 << 30)  # a hole: reading it costs no disk
    program = """
from cdaf.bundles import bundle
made = bundlekit.sealed(Path(sys.argv[2]), content)
assert bundle.open(made.path) == made
status = Path("/proc/self/status").read_text()  # ru_maxrss would count the process that started this one
print(int(status.split("VmHWM:")[1].split()[0]) // 1024, made.identity)
"""
    dist = tmp_path / "dist"
    try:
        done = run(program, dist, tmp_path / "files")
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.split()[0]) < 200
        argv = [bundlekit.interpreters()[0], str(dist / "orders-1.4.0.cdaf"), "verify"]
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        assert said == f"ok {done.stdout.split()[1]}\n"
    finally:
        shutil.rmtree(dist, ignore_errors=True)


class Listening(progress.Silent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def warn(self, text: str) -> None:
        self.heard.append(text)


@pytest.mark.slow
def test_a_zip64_bundle_says_how_to_start_its_launcher(tmp_path: Path) -> None:
    listening, before = Listening(), progress._sink
    progress.use(listening)
    try:
        bundlekit.sealed(tmp_path)
        assert listening.heard == []
        made = bundlekit.sealed(tmp_path, {f"app/{number:05d}": b"" for number in range(65_535)})
    finally:
        progress.use(before)
    [said] = listening.heard
    assert "Python below 3.13" in said
    assert bundle.open(made.path) == made
    command = said[said.index('python3 -c "') :].removeprefix('python3 -c "')
    program, _, words = command.partition('" ')
    newest = bundlekit.interpreters()[-1]
    is_new = (
        subprocess.run([newest, "-c", "import sys; sys.exit(sys.version_info < (3, 13))"], check=False).returncode == 0
    )
    alone = subprocess.run([newest, made.path, "verify"], capture_output=True, text=True, check=False)
    assert (alone.stdout == f"ok {made.identity}\n") is is_new
    for python in {bundlekit.interpreters()[0], sys.executable}:
        argv = [python, "-c", program, *words.split()]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == (f"ok {made.identity}\n", "")


def test_the_errors_are_of_the_one_family() -> None:
    assert issubclass(BundleError, CdafError)
