"""Downloads: parallel, resumed, refused by hash; from a real server on loopback."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdaf import store
from cdaf.errors import CdafError, ResolveError
from cdaf.net import fetch
from tests import pykit

BIG = os.urandom(3_000_000)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[pykit.Index]:
    with pykit.serving(tmp_path / "served") as index:
        (index.folder / "big-1.0.bin").write_bytes(BIG)
        yield index


def want(index: pykit.Index, name: str, data: bytes, algorithm: str = "sha256") -> fetch.Want:
    (index.folder / name).write_bytes(data)
    return fetch.Want(name, f"{index.url}/files/{name}", {algorithm: hashlib.new(algorithm, data).hexdigest()})


def left_over(cache: Path) -> list[Path]:
    return [path for path in (cache / "archives").rglob("*") if path.is_file() and len(path.name) != 64]


def test_many_archives_are_there_under_their_digest_and_a_second_run_asks_nobody(
    index: pykit.Index, cache: Path
) -> None:
    wants = [want(index, f"a{number}", b"%d" % number * 1000) for number in range(30)]
    told: list[str] = []
    got = fetch.fetch(wants, each=lambda each: told.append(each.want.name))
    assert {each.want.name: each.path.read_bytes() for each in got.values()} == {
        f"a{number}": b"%d" % number * 1000 for number in range(30)
    }
    assert all(each.path == store.path("archives", each.sha256) for each in got.values())
    assert sorted(told) == sorted(each.name for each in wants)
    asked = len(index.asked)
    assert fetch.fetch(wants) == got
    assert len(index.asked) == asked == 30
    assert left_over(cache) == []


@pytest.mark.parametrize("algorithm", ["sha512", "blake2b", "sha384"])
def test_the_lock_s_own_algorithm_counts(index: pykit.Index, algorithm: str) -> None:
    wanted = want(index, "a", b"abc", algorithm)
    for _ in range(2):
        assert fetch.fetch([wanted])[wanted.url].sha256 == hashlib.sha256(b"abc").hexdigest()
    assert len(index.asked) == 1


def test_other_bytes_than_the_hash_names_are_refused_and_leave_nothing(index: pykit.Index, cache: Path) -> None:
    wanted = want(index, "flask", b"good")
    index.replaced["flask"] = b"evil"
    with pytest.raises(ResolveError) as caught:
        fetch.fetch([wanted])
    assert "hash mismatch for flask: the lock says sha256:" in caught.value.message
    assert hashlib.sha256(b"evil").hexdigest() in caught.value.message
    assert not caught.value.transient
    assert [path for path in (cache / "archives").rglob("*") if path.is_file()] == []


def test_all_faults_come_in_one_error(index: pykit.Index) -> None:
    wants = [want(index, name, name.encode()) for name in ("one", "two", "three")]
    index.replaced["one"] = b"evil"
    (index.folder / "two").unlink()
    with pytest.raises(ResolveError) as caught:
        fetch.fetch(wants)
    assert "2 faults" in caught.value.message
    assert "hash mismatch for one" in caught.value.message
    assert "two: " in caught.value.message
    assert "404" in caught.value.message


def test_a_broken_transfer_goes_on_where_it_stopped(index: pykit.Index) -> None:
    wanted = want(index, "big", BIG)
    index.cuts["big"] = 1_000_000
    assert fetch.fetch([wanted])[wanted.url].path.read_bytes() == BIG
    ranges = [asked for _, asked, _ in index.asked]
    assert ranges == [None, "bytes=1000000-"]


def test_a_later_run_goes_on_where_an_earlier_one_was_killed(index: pykit.Index, cache: Path) -> None:
    wanted = want(index, "big", BIG)
    partial = cache / "archives" / "partial" / f"sha256-{wanted.hashes['sha256']}"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(BIG[:2_000_000])
    assert fetch.fetch([wanted])[wanted.url].path.read_bytes() == BIG
    assert [asked for _, asked, _ in index.asked] == ["bytes=2000000-"]
    assert left_over(cache) == []


@pytest.mark.parametrize("left", [b"x" * 1000, BIG, BIG + b"more", b"y" * len(BIG)])
def test_a_damaged_or_whole_partial_file_is_no_harm(index: pykit.Index, cache: Path, left: bytes) -> None:
    wanted = want(index, "big", BIG)
    partial = cache / "archives" / "partial" / f"sha256-{wanted.hashes['sha256']}"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(left)
    assert fetch.fetch([wanted])[wanted.url].path.read_bytes() == BIG


def test_a_server_that_knows_no_ranges_is_no_harm(index: pykit.Index) -> None:
    wanted = want(index, "big", BIG)
    index.ranges = False
    index.cuts["big"] = 1_000_000
    assert fetch.fetch([wanted])[wanted.url].path.read_bytes() == BIG


def test_a_damaged_archive_in_the_cache_is_fetched_again(index: pykit.Index) -> None:
    wanted = want(index, "a", b"abc")
    path = fetch.fetch([wanted])[wanted.url].path
    path.write_bytes(b"abd")
    assert fetch.fetch([wanted])[wanted.url].path.read_bytes() == b"abc"


def test_nobody_there_is_transient() -> None:
    wanted = fetch.Want("gone", "http://127.0.0.1:9/gone", {"sha256": "0" * 64})
    with pytest.raises(CdafError) as caught:
        fetch.fetch([wanted])
    assert caught.value.transient


def test_credentials_reach_the_server_and_no_message(index: pykit.Index) -> None:
    wanted = want(index, "private", b"abc")
    index.login = "Basic dTpzM2NyZXQ="
    with pytest.raises(ResolveError, match="401: it wants other credentials") as caught:
        fetch.fetch([wanted], lambda _: {"Authorization": "Basic wrong"})
    assert "wrong" not in caught.value.message
    assert fetch.fetch([wanted], lambda _: {"Authorization": index.login})[wanted.url].path.read_bytes() == b"abc"


@pytest.mark.parametrize("form", ["file://{}", "{}"])
def test_archives_of_this_machine(tmp_path: Path, form: str) -> None:
    path = tmp_path / "with space.whl"
    path.write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    url = form.format(str(path).replace(" ", "%20") if form.startswith("file") else path)
    assert fetch.fetch([fetch.Want("a", url, {"sha256": digest})])[url].path.read_bytes() == b"abc"
    path.write_bytes(b"abd")
    with pytest.raises(ResolveError, match="hash mismatch"):
        fetch.fetch([fetch.Want("a", url, {"sha256": "1" * 64})])
    path.unlink()
    with pytest.raises(ResolveError, match="cannot be read"):
        fetch.fetch([fetch.Want("a", url, {"sha256": "2" * 64})])


def test_without_a_hash_nothing_is_fetched(index: pykit.Index) -> None:
    with pytest.raises(ResolveError, match="a has no hash"):
        fetch.fetch([fetch.Want("a", f"{index.url}/files/big-1.0.bin", {})])
    assert index.asked == []


def test_two_processes_share_one_cache(index: pykit.Index, cache: Path) -> None:
    wants = [want(index, f"a{number}", BIG[number:]) for number in range(6)]
    program = (
        "import sys, json; from cdaf.net import fetch\n"
        "wants = [fetch.Want(*each) for each in json.loads(sys.stdin.read())]\n"
        "print(sorted(got.sha256 for got in fetch.fetch(wants).values()))"
    )
    import json

    told = json.dumps([[each.name, each.url, each.hashes] for each in wants])
    done: list[str] = []

    def run() -> None:
        ran = subprocess.run([sys.executable, "-c", program], input=told, capture_output=True, text=True, check=False)
        done.append(ran.stdout or ran.stderr)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [str(sorted(each.hashes["sha256"] for each in wants)) + "\n"] * 3
    assert len(index.asked) == 6
    assert left_over(cache) == []


def test_ctrl_c_ends_a_stalled_transfer_and_keeps_what_came(index: pykit.Index, cache: Path) -> None:
    wanted = want(index, "big", BIG)
    index.cuts["big"] = 1_000_000
    index.stalls.add("big")
    partial = cache / "archives" / "partial" / f"sha256-{wanted.hashes['sha256']}"
    program = f"from cdaf.net import fetch; fetch.fetch([fetch.Want('big', {wanted.url!r}, {wanted.hashes!r})])"
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) as running:
        while not partial.exists() or partial.stat().st_size == 0:
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=20)
    assert told.strip().endswith("KeyboardInterrupt")
    index.stalls.clear()
    have = partial.stat().st_size
    assert fetch.fetch([wanted])[wanted.url].path.read_bytes() == BIG
    assert index.asked[-1][1] == f"bytes={have}-"


@pytest.mark.parametrize(
    "url", ["http://[::1/p.zip", "file:a\0b", "/tmp/a\0b", "http://a:b:c/x", "http://x:99999999/y"]
)
def test_what_is_no_address_is_told_before_anything_is_asked(url: str) -> None:
    with pytest.raises(ResolveError, match=r"thing 1: .* is no address"):
        fetch.fetch([fetch.Want("thing 1", url, {"sha256": "0" * 64})])


def test_a_device_is_no_archive() -> None:
    with pytest.raises(ResolveError, match="/dev/zero is no regular file"):
        fetch.fetch([fetch.Want("thing 1", "/dev/zero", {"sha256": "0" * 64})])
