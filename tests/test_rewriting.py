"""Layers written anew: the same bytes whatever order, time and form the files came in, and nothing of them lost."""

import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdaf.errors import ImageError
from cdaf.images import listing, rewriting, tarform


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def entry(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **told: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    for key, value in told.items():
        setattr(info, key, value)
    return info, data


ENTRIES = [
    entry("etc/", tarfile.DIRTYPE, mode=0o1777, uid=1, gid=2, mtime=5),
    entry("etc/secret", data=b"x" * 700, mode=0o640, uid=1000, gid=33, mtime=1.5, uname="somebody"),
    entry("etc/link", tarfile.SYMTYPE, linkname="/etc/secret", mode=0o777),
    entry("a-first-name-of-it", tarfile.LNKTYPE, linkname="etc/secret"),
    entry("dev/null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
    entry("bin/ping", data=b"p", mode=0o4755, pax_headers={"SCHILY.xattr.security.capability": "\x01\x00\x02"}),
    entry("etc/.wh.gone"),
    entry("größe/" + "n" * 200, data=b"long"),
]


def write(
    path: Path, entries: Iterable[tuple[tarfile.TarInfo, bytes]], how: str = "w", form: int = tarfile.PAX_FORMAT
) -> Path:
    with tarfile.open(path, how, format=form) as archive:  # type: ignore[call-overload]
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return path


def read(path: Path) -> Sequence[tarfile.TarInfo]:
    with tarfile.open(path) as archive:
        return archive.getmembers()


def test_nothing_is_lost_but_times_and_names_of_owners(tmp_path: Path) -> None:
    made = rewriting.layer(write(tmp_path / "in.tar", ENTRIES), "gzip", "one")
    assert made.path
    found = {each.name: each for each in read(made.path)}
    assert found.keys() == {info.name.strip("/") for info, _ in ENTRIES}
    secret, ping = found["etc/secret"], found["bin/ping"]
    assert (secret.mode, secret.uid, secret.gid, secret.uname) == (0o640, 1000, 33, "")
    assert (ping.mode, ping.pax_headers["SCHILY.xattr.security.capability"]) == (0o4755, "\x01\x00\x02")
    assert (found["dev/null"].devmajor, found["dev/null"].devminor) == (1, 3)
    assert found["etc/link"].linkname == "/etc/secret"
    assert {each.mtime for each in found.values()} == {tarform.TIME}
    assert list(found)[-1] == "a-first-name-of-it"  # after what it leads to
    assert found["a-first-name-of-it"].linkname == "etc/secret"


def test_it_tells_what_it_holds(tmp_path: Path) -> None:
    from cdaf import store

    made = rewriting.layer(write(tmp_path / "in.tar", ENTRIES), "gzip", "one")
    kept = store.recall(rewriting.LISTINGS, made.digest.partition(":")[2])
    assert made.path
    assert kept
    [rows] = listing.decode(listing.encode([("one", kept)]))
    told = {row.path: row for row in listing.read(made.path)}
    assert {row.path: row for row in rows} == told


@given(st.permutations(ENTRIES[:3] + ENTRIES[4:]), st.integers(0, 2**31), st.booleans())
def test_order_time_and_form_leave_no_trace(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[tarfile.TarInfo, bytes]], time: int, packed: bool
) -> None:
    folder = tmp_path_factory.mktemp("layer")
    one = rewriting.layer(write(folder / "one", entries), "gzip", "one")
    for info, _ in entries:
        info.mtime, info.gname = time, "group"
    other = write(folder / "other", [(_dotted(info), data) for info, data in entries], "w:gz" if packed else "w")
    assert rewriting.layer(other, "gzip", "two").digest == one.digest


def _dotted(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.name = f"./{info.name.removeprefix('./')}"
    return info


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_the_diff_id_is_that_of_the_tar(tmp_path: Path, compression: str) -> None:
    one = rewriting.layer(write(tmp_path / "in.tar", ENTRIES), compression, "one")
    plain = rewriting.layer(write(tmp_path / "again.tar", ENTRIES), "gzip", "two")
    assert one.diff_id == plain.diff_id
    assert one.media_type.endswith(compression)


@pytest.mark.parametrize("data", [b"no tar at all" * 100, b"\x1f\x8b damaged"])
def test_what_is_no_layer(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in.tar").write_bytes(data)
    with pytest.raises(ImageError, match="layer odd cannot be read"):
        rewriting.layer(tmp_path / "in.tar", "gzip", "odd")


def test_a_layer_that_is_cut_short(tmp_path: Path) -> None:
    whole = write(tmp_path / "in.tar", [entry("a", data=b"x" * 5000)])
    whole.write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(ImageError, match="cannot be read"):
        rewriting.layer(whole, "gzip", "odd")


def test_an_empty_layer(tmp_path: Path) -> None:
    (tmp_path / "in.tar").write_bytes(bytes(1024))
    made = rewriting.layer(tmp_path / "in.tar", "gzip", "empty")
    assert made.path
    assert read(made.path) == []


def test_marks_take_away_what_lower_layers_hold() -> None:
    paths = ["a/b", "a/b/c", "a/bc", "d/e", "d/f/g"]
    assert listing.hidden("a/.wh.b", paths) == ["a/b", "a/b/c"]
    assert listing.hidden("d/.wh..wh..opq", paths) == ["d/e", "d/f/g"]
    assert listing.hidden(".wh.d", paths) == ["d/e", "d/f/g"]
    assert listing.hidden("d/e", paths) == []
    assert [listing.is_mark(each) for each in ("a/.wh.b", ".wh..wh..opq", "a/b")] == [True, True, False]
