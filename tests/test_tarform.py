"""Tar headers: every entry that can be written is read back the same by the standard library."""

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from cdaf.images import tarform
from cdaf.images.tarform import Header

names = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=120
).filter(lambda name: name not in (".", ".."))
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


def read_back(data: bytes) -> tarfile.TarInfo:
    with tarfile.open(fileobj=io.BytesIO(data + tarform.END)) as archive:
        found = archive.next()
    assert found is not None
    return found


@given(path=paths, mode=st.sampled_from([0o644, 0o755]), size=st.integers(0, 2000), uid=st.integers(0, 60000))
def test_files_are_read_back(path: str, mode: int, size: int, uid: int) -> None:
    header = Header(path, "file", mode, size, uid=uid, gid=uid)
    found = read_back(tarform.encode(header) + bytes(size) + tarform.padding(size))
    assert (found.name, found.mode, found.size, found.uid, found.mtime) == (path, mode, size, uid, tarform.TIME)
    assert found.isfile()
    assert (found.uname, found.gname) == ("", "")


@given(path=paths, target=paths)
def test_links_are_read_back(path: str, target: str) -> None:
    found = read_back(tarform.encode(Header(path, "link", 0o777, target=target)))
    assert (found.name, found.linkname, found.issym()) == (path, target, True)


def test_folders_end_in_a_slash_on_disk() -> None:
    data = tarform.encode(Header("app/state", "dir", 0o755, uid=10001, gid=10001))
    assert data.startswith(b"app/state/\0")
    assert read_back(data).isdir()


def test_a_size_beyond_ustar_stands_in_a_pax_record() -> None:
    size = 9 * 1024**3
    data = tarform.encode(Header("big", "file", size=size))
    assert b" size=%d\n" % size in data
    assert len(data) % tarform.BLOCK == 0


@given(st.integers(80, 1100))
def test_a_record_counts_its_own_length(length: int) -> None:
    path = "é" + "x" * length
    assert read_back(tarform.encode(Header(path, "file"))).name == path
