"""OCI layouts on disk: written whole, added to, and nothing else touched."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdaf.errors import ImageError, PublishError
from cdaf.images import layout, oci
from tests import images


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def test_a_layout_holds_every_blob_under_its_digest(tmp_path: Path) -> None:
    folder = tmp_path / "dist" / "orders.oci"
    both = (images.simple(), images.simple("other", "linux/arm64"))
    assert layout.write(folder, both, ("1.4.0", "latest")) == "created"
    assert read(folder / "oci-layout") == {"imageLayoutVersion": "1.0.0"}
    entries = read(folder / "index.json")["manifests"]
    assert [entry["annotations"][oci.REF_NAME] for entry in entries] == ["1.4.0", "latest"]
    assert {entry["digest"] for entry in entries} == {oci.published(both)[2]}
    blobs = list((folder / "blobs" / "sha256").iterdir())
    assert len(blobs) == 1 + 3 * 2
    assert all(oci.hexed(oci.digest_of(blob.read_bytes())) == blob.name for blob in blobs)
    assert not [each for each in folder.parent.iterdir() if each != folder]


def test_a_layout_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        layout.write(tmp_path / name, (images.simple(),), ("1",))
    contents = [
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("a", "b")
    ]
    assert contents[0] == contents[1]


def test_a_blob_that_was_damaged_in_a_layout_is_mended(tmp_path: Path) -> None:
    image, folder = images.simple(), tmp_path / "layout"
    layout.write(folder, (image,), ("1",))
    for digest in (image.layers[0].digest, image.config_digest, image.digest):
        blob = folder / oci.blob_name(digest)
        whole = blob.read_bytes()
        blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert layout.write(folder, (image,), ("1",)) == "created"
        assert blob.read_bytes() == whole


def test_a_layout_is_added_to_and_what_is_there_is_present(tmp_path: Path) -> None:
    first, second = images.simple("1"), images.simple("2")
    folder = tmp_path / "layout"
    assert layout.write(folder, (first,), ("1", "latest")) == "created"
    assert layout.write(folder, (first,), ("1", "latest")) == "present"
    assert layout.write(folder, (second,), ("2", "latest")) == "created"
    assert layout.tags(folder) == {"1": first.digest, "2": second.digest, "latest": second.digest}
    assert layout.write(folder, (first,), ("1",)) == "present"


def test_a_layout_with_a_blob_lost_is_mended(tmp_path: Path) -> None:
    image = images.simple()
    layout.write(tmp_path / "layout", (image,))
    lost = tmp_path / "layout" / "blobs" / "sha256" / oci.hexed(image.layers[0].digest)
    lost.write_bytes(lost.read_bytes()[:-1])
    assert layout.write(tmp_path / "layout", (image,)) == "created"
    assert oci.digest_of(lost.read_bytes()) == image.layers[0].digest


def test_a_damaged_blob_of_the_cache_goes_nowhere(tmp_path: Path) -> None:
    image = images.simple()
    spoilt = image.layers[0].path
    assert spoilt is not None
    data = bytearray(spoilt.read_bytes())
    data[len(data) // 2] ^= 1
    spoilt.write_bytes(data)
    with pytest.raises(ImageError, match="damaged") as caught:
        layout.write(tmp_path / "out" / "layout", (image,))
    assert caught.value.transient
    assert not spoilt.exists(), "the next run makes it anew"
    assert not list((tmp_path / "out").iterdir())


def test_a_layout_shares_no_file_with_the_cache(tmp_path: Path) -> None:
    image = images.simple()
    layout.write(tmp_path / "layout", (image,))
    blob = tmp_path / "layout" / "blobs" / "sha256" / oci.hexed(image.layers[0].digest)
    assert image.layers[0].path is not None
    assert not os.path.samefile(blob, image.layers[0].path)  # noqa: PTH121


@pytest.mark.parametrize(
    "content", [{"notes.txt": "mine"}, {"oci-layout": "{}"}, {"oci-layout": "[", "index.json": "{"}]
)
def test_a_folder_of_something_else_is_refused(tmp_path: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(PublishError, match="not an OCI layout"):
        layout.write(tmp_path, (images.simple(),))
    assert content.items() <= {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}.items()


def test_a_base_that_is_not_in_the_cache_leaves_no_half_layout(tmp_path: Path) -> None:
    layer = msgspec.structs.replace(images.layer({"a": b""})[0], path=None)
    with pytest.raises(ImageError, match="not in the cache"):
        layout.write(tmp_path / "layout", (images.image((layer,)),))
    assert not [path for path in tmp_path.iterdir() if path.name != "cache"]


def test_what_a_killed_run_left_is_gone_after_the_next(tmp_path: Path) -> None:
    killed = (
        "import os, signal, sys; from pathlib import Path; from cdaf.images import layout; from tests import images;"
        "layout._move = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        "layout.write(Path(sys.argv[1]), (images.simple(),), ('1',))"
    )
    folder = tmp_path / "dist" / "orders.oci"
    done = subprocess.run([sys.executable, "-c", killed, str(folder)], check=False, cwd=Path(__file__).parents[1])
    assert done.returncode == -9
    assert not folder.exists()
    assert [path.name.startswith(".orders.oci.") for path in folder.parent.iterdir()] == [True]
    assert layout.write(folder, (images.simple(),), ("1",)) == "created"
    assert list(folder.parent.iterdir()) == [folder]


def test_several_at_once_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from cdaf.images import layout; from tests import images;"
        "layout.write(Path(sys.argv[1]), (images.simple(sys.argv[2]),), (sys.argv[2],))"
    )
    root = Path(__file__).parents[1]
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "out"), str(number)], cwd=root)
        for number in range(4)
    ]
    assert [each.wait() for each in running] == [0] * 4
    assert set(layout.tags(tmp_path / "out")) == {"0", "1", "2", "3"}


def test_a_new_folder_is_taken_for_no_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tempfile.mkdtemp

    def made(**how: Any) -> str:
        with pytest.raises(BlockingIOError), layout._holding(tmp_path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            pytest.fail("another could write here, and would first remove what bears no lock yet")
        return str(real(**how))

    monkeypatch.setattr(tempfile, "mkdtemp", made)
    assert layout.write(tmp_path / "out", (images.simple(),)) == "created"


def test_a_full_disk_is_transient_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("cdaf.images.oci.chunks", full)
    with pytest.raises(PublishError, match="No space left") as caught:
        layout.write(tmp_path / "dist" / "out", (images.simple(),))
    assert caught.value.transient
    assert not list((tmp_path / "dist").iterdir())
