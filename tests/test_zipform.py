"""The canonical zip: what other readers make of it, where zip64 begins, which names it takes."""

import hashlib
import io
import json
import os
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cdaf.bundles import zipform, zipread
from cdaf.bundles.zipform import Entry
from tests import bundlekit

NAMES = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\\/"), min_size=1, max_size=20
).filter(lambda name: name not in (".", ".."))
CONTENTS = st.dictionaries(NAMES, st.binary(max_size=200), max_size=8)
NUMBERS = st.one_of(st.integers(0, 2**63), st.integers(2**32 - 3, 2**32 + 3), st.integers(0, 100))


def made(content: dict[str, bytes]) -> bytes:
    entries = [
        entry._replace(crc=zlib.crc32(content[entry.name]))
        for entry in zipform.place({name: len(data) for name, data in content.items()})
    ]
    body = b"".join(zipform.local_header(entry) + content[entry.name] for entry in entries)
    return body + zipform.index(entries)


def index_of(data: bytes, path: Path) -> zipread.Index:
    path.write_bytes(data)
    file = os.open(path, os.O_RDONLY)
    try:
        return zipread.read_index(file, len(data))
    finally:
        os.close(file)


@settings(deadline=None)
@given(CONTENTS)
def test_the_standard_library_reads_it(content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(made(content))) as read:
        assert read.testzip() is None
        assert {name: read.read(name) for name in read.namelist()} == content
        assert read.namelist() == sorted(content, key=str.encode)
        assert {info.external_attr >> 16 for info in read.infolist()} <= {0o100644}


@settings(deadline=None)
@given(CONTENTS)
def test_it_reads_itself_without_faults(tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes]) -> None:
    data = made(content)
    index = index_of(data, tmp_path_factory.getbasetemp() / "itself.zip")
    assert index.faults == ()
    assert {one.name: data[one.data : one.data + one.size] for one in index.members} == content


@settings(deadline=None)
@given(CONTENTS, st.data())
def test_what_has_no_faults_is_canonical(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes], draw: st.DataObject
) -> None:
    data = bytearray(made(content))
    place = draw.draw(st.integers(0, len(data) - 1))
    data[place] = draw.draw(st.integers(0, 255))
    index = index_of(bytes(data), tmp_path_factory.getbasetemp() / "changed.zip")
    if not index.faults:
        # Members' bytes are not the index's business, and the CRC-32 in both headers is compared with them elsewhere.
        found = {one.name: bytes(data[one.data : one.data + one.size]) for one in index.members}
        crcs = {one.name: one.crc for one in index.members}
        entries = [one._replace(crc=crcs[one.name]) for one in zipform.place({n: len(d) for n, d in found.items()})]
        assert data == b"".join(zipform.local_header(e) + found[e.name] for e in entries) + zipform.index(entries)


@settings(deadline=None)
@given(NAMES, NUMBERS, st.integers(0, 2**32 - 1), NUMBERS)
def test_the_launcher_makes_the_same_headers(name: str, size: int, crc: int, offset: int) -> None:
    launcher = bundlekit.launcher()
    ours, theirs = Entry(name, size, crc, offset), launcher.Member(name, size, crc, offset)
    assert zipform.local_header(ours) == launcher.local_header(theirs)
    assert zipform.central_header(ours) == launcher.central_header(theirs)
    assert len(zipform.local_header(ours)) == zipform.header_size(name, size)
    assert ours.end == launcher.end_of(theirs)


@settings(deadline=None)
@given(st.integers(0, 2**20), NUMBERS, NUMBERS)
def test_the_launcher_makes_the_same_end(count: int, size: int, offset: int) -> None:
    assume(offset + size < 2**64)  # no file reaches further
    assert zipform.end_records(count, size, offset) == bundlekit.launcher().end_records(count, size, offset)


@settings(deadline=None)
@given(NUMBERS, NUMBERS)
def test_wide_numbers_are_read_back(size: int, offset: int) -> None:
    header = zipform.central_header(Entry("app/x", size, 7, offset))
    fields = zipform.CENTRAL.unpack_from(header)
    extra = header[zipform.CENTRAL.size + len("app/x") :]
    assert bundlekit.launcher().widened(fields[9], fields[16], extra) == (size, offset)
    faults: list[str] = []
    assert zipread._read_directory(header, faults) == [Entry("app/x", size, 7, offset)]
    assert not faults


@pytest.mark.parametrize(("size", "wide"), [(2**32 - 2, False), (2**32 - 1, True), (2**32, True)])
def test_zip64_begins_where_32_bits_end(size: int, wide: bool) -> None:
    [entry] = zipform.place({"app/large": size})
    assert (len(zipform.local_header(entry)) > zipform.LOCAL.size + len("app/large")) is wide
    # A member that just fits moves the index out of reach all the same.
    assert zipform.is_zip64([entry])
    assert not zipform.is_zip64(zipform.place({"app/large": 2**32 - 200}))


@pytest.mark.slow
@pytest.mark.parametrize(("count", "wide"), [(65_534, False), (65_535, True)])
def test_zip64_begins_at_65535_members(count: int, wide: bool) -> None:
    content = {f"app/{number:05d}": b"" for number in range(count)}
    assert zipform.is_zip64(zipform.place(dict.fromkeys(content, 0))) is wide
    with zipfile.ZipFile(io.BytesIO(made(content))) as read:
        assert len(read.namelist()) == count


@settings(deadline=None)
@given(CONTENTS)
def test_with_the_limits_lowered_zip64_is_read_by_the_standard_library(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipform, "SIZE_LIMIT", 100)
        patch.setattr(zipform, "COUNT_LIMIT", 3)
        data = made(content)
        assert not index_of(data, tmp_path_factory.getbasetemp() / "wide.zip").faults
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        assert {name: read.read(name) for name in read.namelist()} == content


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a/b", "a/c"], []),
        (["ä", "日本", "a b", "-", "...", "a..b"], []),
        (["a", "a"], ["there 2 times"]),
        (["a", "a/b"], ["a file and a folder"]),
        (["a", "a/b", "../c", "/d", "e\\f", "g\nh", "\udcff", "", "i/", "./j"], ["a file and a folder", "'..'"]),
        (["x" * 65_536], ["65,535"]),
        (["\u202e.txt", "\u2028"], []),
    ],
)
def test_names(names: list[str], said: list[str]) -> None:
    faults = zipform.name_faults(names)
    assert bool(faults) is bool(said)
    for one in said:
        assert any(one in fault for fault in faults)
    assert "\n" not in "".join(faults)


PROGRAM = """
import hashlib, json, sys
sys.path.insert(0, sys.argv[1])
from cdaf.bundles import zipform
entries = [e._replace(crc=7) for e in zipform.place(json.loads(sys.argv[2]))]
data = b"".join(map(zipform.local_header, entries)) + zipform.index(entries)
print(hashlib.sha256(data).hexdigest())
"""


def test_every_python_writes_the_same_bytes() -> None:
    sizes = {"app/ü": 3, "deps/x": 2**33, "app/a": 0, "__main__.py": 2**32 - 1, "日": 5}
    entries = [entry._replace(crc=7) for entry in zipform.place(sizes)]
    expected = hashlib.sha256(b"".join(map(zipform.local_header, entries)) + zipform.index(entries)).hexdigest()
    for python in bundlekit.interpreters():
        words = [python, "-I", "-c", PROGRAM, str(bundlekit.ROOT), json.dumps(sizes)]
        if subprocess.run([python, "-c", "import tomllib"], capture_output=True, check=False).returncode:
            continue  # older than cdaf itself runs on
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() == expected
