"""Layers: what the plan says is what the tar holds, and what cannot be is said with all its faults."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from cdaf.errors import ImageError
from cdaf.images import content, layer, plan, tarform, wheelzip
from cdaf.images.coder import Stream
from tests import makers

SITE = "/app/.venv/lib/python3.13/site-packages"


def written(wanted: plan.Layer, contents: content.Contents, dirs: dict[str, plan.Dir] | None = None) -> bytes:
    out = io.BytesIO()
    stream = Stream(out)
    layer.write(wanted, contents, dirs or {}, stream)
    stream.finish()
    return out.getvalue()


def opened(blob: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob))) as archive:
        return {
            found.name: (found, file.read() if found.isfile() and (file := archive.extractfile(found)) else b"")
            for found in archive
        }


@pytest.fixture
def wheel(tmp_path: Path) -> content.Content:
    files: dict[str, str | bytes] = {
        "pkg/__init__.py": "x = 1\n" * 500,
        "pkg/native.so": bytes(range(256)) * 40,
        "pkg-1.data/scripts/tool": "#!/bin/sh\n",
        "pkg-1.dist-info/RECORD": "left out",
        "pkg/": "",
    }
    return content.of_file(makers.archive(tmp_path / "pkg.whl", files, executable=frozenset({"pkg/native.so"})))


def unpack() -> plan.Unpack:
    scripts = plan.Rewrite("pkg-1.data/scripts", "/app/.venv/bin", 0o755)
    return plan.Unpack("deps/pkg.whl", SITE, rewrites=(scripts,), skip=("pkg-1.dist-info/RECORD",))


def test_an_archive_is_spread_by_the_plan(wheel: content.Content) -> None:
    found = opened(written(plan.Layer("pkg", (unpack(),)), {"deps/pkg.whl": wheel}))
    site = SITE[1:]
    assert found[f"{site}/pkg/__init__.py"][1] == b"x = 1\n" * 500
    assert found[f"{site}/pkg/native.so"][1] == bytes(range(256)) * 40
    assert {name: info.mode for name, (info, _) in found.items() if info.isfile()} == {
        f"{site}/pkg/__init__.py": 0o644,
        f"{site}/pkg/native.so": 0o755,
        "app/.venv/bin/tool": 0o755,
    }


def test_every_folder_on_the_way_is_there_before_what_it_holds(wheel: content.Content) -> None:
    names = list(opened(written(plan.Layer("pkg", (unpack(),)), {"deps/pkg.whl": wheel})))
    assert names == sorted(names, key=str.encode)
    for name in names:
        parent = name.rpartition("/")[0]
        assert not parent or parent in names[: names.index(name)]


def test_all_entries_have_one_time_and_root_owns_them(wheel: content.Content) -> None:
    entries = (unpack(), plan.Link("/app/.venv/bin/python", "/usr/bin/python3.13"))
    for info, _ in opened(written(plan.Layer("pkg", entries), {"deps/pkg.whl": wheel})).values():
        assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (tarform.TIME, 0, 0, "", "")


def test_a_folder_that_another_layer_declares_keeps_its_owner() -> None:
    state = plan.Dir("/app/state", 0o755, 10001, 10001)
    entries = (plan.Place("app/seed.txt", "/app/state/seed.txt"),)
    found = opened(
        written(plan.Layer("service", entries), {"app/seed.txt": content.of_bytes(b"x")}, {"app/state": state})
    )
    assert (found["app/state"][0].uid, found["app"][0].uid) == (10001, 0)


def test_a_deflate_stream_enters_as_it_stands(wheel: content.Content, tmp_path: Path) -> None:
    blob = written(plan.Layer("pkg", (unpack(),)), {"deps/pkg.whl": wheel})
    raw = (tmp_path / "pkg.whl").read_bytes()
    with zipfile.ZipFile(tmp_path / "pkg.whl") as archive:
        info = archive.getinfo("pkg/__init__.py")
    start = info.header_offset + 30 + len(info.filename)
    assert raw[start : start + info.compress_size] in blob


def test_a_stored_member_enters_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "stored.whl", "w") as archive:
        archive.writestr("a.py", "a = 1\n")
    wheel = content.of_file(tmp_path / "stored.whl")
    found = opened(written(plan.Layer("s", (plan.Unpack("deps/s.whl", "/a"),)), {"deps/s.whl": wheel}))
    assert found["a/a.py"][1] == b"a = 1\n"


def test_all_faults_of_a_layer_come_at_once(tmp_path: Path) -> None:
    escaping = content.of_file(makers.archive(tmp_path / "bad.whl", {"../../etc/passwd": "x", "a//b": "y"}))
    entries = (
        plan.Unpack("deps/bad.whl", "/app"),
        plan.Unpack("deps/torn.whl", "/app"),
        plan.Place("app/a", "/app/file"),
        plan.Place("app/a", "/app/file"),
        plan.Place("app/a", "/app/file/below"),
    )
    contents = {
        "deps/bad.whl": escaping,
        "deps/torn.whl": content.of_bytes(b"PK\x03\x04 and nothing more"),
        "app/a": content.of_bytes(b"1"),
    }
    with pytest.raises(ImageError) as raised:
        written(plan.Layer("bad", entries), contents)
    for part in ("../../etc/passwd", "a//b", "torn.whl", "both place /app/file", "stands below it"):
        assert part in raised.value.message


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (plan.Place("app/a", "/app/x", mode=-5), "which cannot be"),
        (plan.Place("app/a", "/app/x", mode=1 << 40), "which cannot be"),
        (plan.Dir("/app/x", uid=1 << 31), "which cannot be"),
        (plan.Dir("/app/x", gid=-1), "which cannot be"),
        (plan.Link("/app/x", ""), "which cannot be"),
        (plan.Link("/app/x", "a\0b"), "which cannot be"),
        (plan.Place("app/a", "/" + "d/" * 2100 + "x"), "too long for any system"),
        (plan.Place("app/a", "/app/" + "é" * 130), "too long for any system"),
    ],
)
def test_what_a_header_has_no_room_for_is_refused(entry: plan.Entry, told: str) -> None:
    with pytest.raises(ImageError, match=told):
        written(plan.Layer("bad", (entry,)), {"app/a": content.of_bytes(b"1")})


def test_a_zip_whose_names_are_no_text_is_refused(tmp_path: Path) -> None:
    torn = makers.archive(tmp_path / "torn.whl", {"é.py": "x"}).read_bytes().replace("é".encode(), b"\xff\xfe")
    with pytest.raises(ImageError, match="is not the UTF-8"):
        written(plan.Layer("bad", (plan.Unpack("deps/t.whl", "/a"),)), {"deps/t.whl": content.of_bytes(torn)})


@pytest.mark.parametrize("dir_first", [True, False])
def test_a_file_over_a_folder_is_refused_in_either_order(dir_first: bool) -> None:
    entries: tuple[plan.Entry, ...] = (plan.Dir("/app/x"), plan.Place("app/a", "/app/x"))
    with pytest.raises(ImageError, match="both place /app/x"):
        written(plan.Layer("bad", entries[:: 1 if dir_first else -1]), {"app/a": content.of_bytes(b"1")})


@pytest.mark.parametrize(
    "where", ["a local name's length", "a deflate stream", "a checksum", "a size", "the directory"]
)
def test_a_damaged_archive_is_refused(wheel: content.Content, where: str) -> None:
    assert wheel.path is not None
    data = bytearray(wheel.path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    at = {
        "a local name's length": 26,
        "a deflate stream": 50,
        "a checksum": directory + 16,
        "a size": directory + 24,
        "the directory": directory,
    }[where]
    data[at] ^= 0x41
    with pytest.raises(ImageError):
        written(plan.Layer("pkg", (unpack(),)), {"deps/pkg.whl": content.of_bytes(bytes(data))})


def test_every_path_has_its_origin(wheel: content.Content) -> None:
    told = layer.paths(plan.Layer("pkg", (unpack(),)), {"deps/pkg.whl": wheel}, {})
    found = {header.path: origin for header, origin in told}
    assert found["app/.venv/bin/tool"] == "deps/pkg.whl!pkg-1.data/scripts/tool"


@pytest.mark.parametrize(
    ("compressed", "hides"), [(100, False), (4_161_790, False), (4_161_791, True), (1 << 30, True)]
)
def test_a_stream_that_could_hide_four_gigabytes_is_always_inflated(compressed: int, hides: bool) -> None:
    """A gzip member's size is told modulo 2**32, so that a stream of that much more than it says would pass."""
    entry = wheelzip.Entry("a", wheelzip.DEFLATED, 0, compressed, 512, 0, executable=False)
    assert layer._may_hide(entry) is hides
