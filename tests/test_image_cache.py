"""The assembler and its cache: damage is found and mended, a full disk is said, and processes may share it."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cdaf import store
from cdaf.errors import BundleError, ImageError
from cdaf.images import content, image, oci, plan
from tests import makers
from tests.test_image import CONTENTS, LAYERS, planned

CHECKOUT = Path(__file__).parents[1]
KINDS = ("layers", "listings", "blobs")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files(cache: Path, kind: str) -> list[Path]:
    return sorted(path for path in (cache / kind).rglob("*") if path.is_file())


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x20
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def intact(made: oci.Image) -> bool:
    return all(b"".join(oci.chunks(each)) for each in made.layers)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", [flipped, cut, emptied, Path.unlink], ids=lambda each: each.__name__)
def test_a_damaged_entry_is_thrown_away_and_made_anew(cache: Path, kind: str, damage: Callable[[Path], None]) -> None:
    made = image.assemble(planned(), CONTENTS)
    whole = {path: path.read_bytes() for each in KINDS[1:] for path in files(cache, each)}
    assert files(cache, kind)
    for path in files(cache, kind):
        damage(path)
    again = image.assemble(planned(), CONTENTS)
    assert again == made
    assert intact(again)
    assert {path: path.read_bytes() for each in KINDS[1:] for path in files(cache, each)} == whole


def test_a_blob_that_rotted_is_found_out_when_it_is_read_and_made_anew(cache: Path) -> None:
    """A disk that forgets leaves a file its time: nobody reads a layer again before it is sent."""
    made = image.assemble(planned(), CONTENTS)
    for path in files(cache, "blobs"):
        written = path.stat().st_mtime_ns
        flipped(path)
        os.utime(path, ns=(written, written))
    assert image.assemble(planned(), CONTENTS) == made
    for each in made.layers:
        with pytest.raises(ImageError, match="was damaged, and is removed") as caught:
            list(oci.chunks(each))
        assert caught.value.transient
    assert image.assemble(planned(), CONTENTS) == made
    assert intact(made)


def test_a_cache_that_was_copied_is_read_once_and_believed_from_then_on(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = image.assemble(planned(), CONTENTS)
    for path in files(cache, "blobs"):
        os.utime(path, (1, 1))
    assert image.assemble(planned(), CONTENTS) == made
    monkeypatch.setattr(store, "checked", None)
    assert image.assemble(planned(), CONTENTS) == made


def test_an_archive_that_is_damaged_after_it_was_read_leaves_no_layer(cache: Path, tmp_path: Path) -> None:
    whole = makers.archive(tmp_path / "a.whl", {"a.py": "x = 1\n" * 999})
    held = content.of_file(whole, hashlib.sha256(whole.read_bytes()).hexdigest())
    flipped(whole)
    layers = (plan.Layer("a", (plan.Unpack("deps/a.whl", "/a"),)),)
    with pytest.raises(ImageError, match=r"deps/a\.whl"):
        image.assemble(planned(layers=layers), {"deps/a.whl": held})
    assert not [path for kind in KINDS for path in files(cache, kind)]


def test_a_file_that_changes_after_it_was_read_leaves_no_layer(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one")
    held = content.of_file(tmp_path / "file")
    (tmp_path / "file").write_text("other")
    layers = (plan.Layer("a", (plan.Place("app/file", "/app/file"),)),)
    with pytest.raises(BundleError, match="file: changed since it was verified"):
        image.assemble(planned(layers=layers), {"app/file": held})
    assert not [path for kind in KINDS for path in files(cache, kind)]


# As in tests/test_bundle.py: a file system of its own for one process.
FULL = ["unshare", "--mount", "--map-root-user", "sh", "-c", 'mount -t tmpfs -o size=1m none "$0" && exec "$@"']
FILLING = """
import os, sys
from pathlib import Path
from cdaf.errors import CdafError, exit_code
from cdaf.images import content, image, plan
from tests.test_image import planned
held = {"x": content.of_file(Path(sys.argv[1]))}
entry = plan.Unpack("x", "/x") if sys.argv[2] == "tgz" else plan.Place("x", "/x")
try:
    image.assemble(planned(layers=(plan.Layer("x", (entry,)),)), held)
except CdafError as error:
    left = [path for path in Path(os.environ["CDAF_CACHE"]).rglob("*") if path.is_file()]
    print(exit_code(error), error.message, error.hint, left, sep="|")
"""


@pytest.mark.parametrize("kind", ["file", "tgz"])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, cache: Path, kind: str) -> None:
    cache.mkdir()
    large = tmp_path / "large"
    large.write_bytes(os.urandom(3 << 20))
    if kind == "tgz":
        large = tmp_path / "large.tgz"
        (tmp_path / "zeros").write_bytes(os.urandom(1 << 20) * 12)
        subprocess.run(["tar", "-C", tmp_path, "-czf", large, "zeros"], check=True)
    python = [sys.executable, "-c", FILLING, str(large), kind]
    done = subprocess.run([*FULL, str(cache), *python], capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 0, f"a file system of its own could not be mounted, or: {done.stderr}"
    code, message, hint, left = done.stdout.strip().split("|")
    assert code == "75"
    assert "cannot be written: No space left on device" in message
    assert "free space on the disk" in hint
    assert left == "[]"


TOGETHER = """
import sys
from cdaf.images import content, image, plan
from tests.test_image import planned
held = {f"app/{n}": content.of_bytes(b"%d\\n" % n * 20_000) for n in range(24)}
layers = tuple(plan.Layer(f"l{n}", (plan.Place(f"app/{n}", f"/app/{n}"),)) for n in range(24))
print("ready", flush=True)
sys.stdin.readline()
print(image.assemble(planned(layers=layers, compression=sys.argv[1]), held).digest)
"""


def test_several_processes_assemble_into_one_cache_at_once(cache: Path) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, compression],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for compression in ("gzip", "gzip", "gzip", "zstd")
    ]
    for each in running:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in running:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    digests = [each.communicate()[0].strip() for each in running]
    assert [each.returncode for each in running] == [0] * 4
    assert len(set(digests[:3])) == 1
    assert digests[3] != digests[0]
    for path in files(cache, "blobs"):
        assert store.checked("blobs", path.name), "what lies there has the digest that it is named by"
    assert not [path for path in cache.rglob(".cdaf-part-*") if path.is_file()]


def test_one_whose_blob_another_threw_away_writes_it_again(cache: Path) -> None:
    first = image.assemble(planned(), CONTENTS)
    for path in files(cache, "blobs"):
        path.unlink()
    only = msgspec.structs.replace(planned(), layers=LAYERS[:1])
    assert image.assemble(only, CONTENTS).layers[0] == first.layers[0]
    assert intact(image.assemble(planned(), CONTENTS))
