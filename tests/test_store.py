"""The content-addressed cache: whole or not at all, shared, and honest about damage."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdaf import store
from cdaf.errors import CdafError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_content_is_found_by_its_digest() -> None:
    digest, path = store.put("blobs", [b"some ", b"content"])
    assert path.read_bytes() == b"some content"
    assert store.has("blobs", digest)
    assert store.checked("blobs", digest) == path == store.path("blobs", digest)


def test_damaged_content_is_thrown_away() -> None:
    digest, path = store.put("blobs", [b"some content"])
    path.write_bytes(b"same c0ntent")
    assert store.checked("blobs", digest) is None
    assert not path.exists()


def test_what_fails_leaves_nothing(cache: Path) -> None:
    def content() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.put("blobs", content())
    assert files(cache) == []


def test_a_result_is_remembered_by_its_inputs_and_damage_is_noticed() -> None:
    key = "ab" * 32
    assert store.recall("layers", key) is None
    store.remember("layers", key, b"result")
    assert store.recall("layers", key) == b"result"
    store.path("layers", key).write_bytes(b"0" * 64 + b"\nother")
    assert store.recall("layers", key) is None


SLOW = """
import sys, time
from cdaf import store
with store.writing("blobs") as (file, temporary):
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_left_is_swept_and_a_living_ones_file_stays(cache: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
        for _ in range(2)
    ]
    try:
        for each in running:
            assert each.stdout is not None
            assert each.stdout.readline() == b"writing\n"
        assert len(files(cache)) == 2
        running[0].kill()
        running[0].wait()
        store.put("blobs", [b"next"])
        assert len(files(cache)) == 2  # the living one's, and what was put
    finally:
        for each in running:
            each.kill()
            each.wait()
    store.put("blobs", [b"last"])
    assert len(files(cache)) == 2


def test_a_full_disk_is_a_transient_error(cache: Path) -> None:
    """`/dev/full` answers every write as a full disk does (full(4))."""

    def content() -> Iterator[bytes]:
        yield b"half"
        Path("/dev/full").write_bytes(b"x" * 100_000)

    with pytest.raises(CdafError, match="No space left") as raised:
        store.put("blobs", content())
    assert raised.value.transient
    assert "free space" in raised.value.hint
    assert files(cache) == []


@pytest.mark.parametrize("name", ["/etc/passwd", "../../x", "", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_what_is_no_digest_leads_nowhere(name: str) -> None:
    for ask in (store.path, store.has, store.checked):
        with pytest.raises(CdafError, match="is not a SHA-256 in hex"):
            ask("blobs", name)


def test_a_file_outside_is_never_taken_for_damaged_content(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"of the user")
    with pytest.raises(CdafError):
        store.checked("blobs", str(tmp_path / "precious"))
    assert (tmp_path / "precious").read_bytes() == b"of the user"
