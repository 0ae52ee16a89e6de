"""Reading ELF files: those made here, those of this machine beside another reader, and damage of every kind."""

import importlib
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdaf.bases import elf
from cdaf.bases.elf import Elf
from tests import elves

WHOLE = elves.make(
    needed=["libc.so.6", "libx.so.1"],
    versions={"libc.so.6": ["GLIBC_2.4", "GLIBC_2.17"], "libx.so.1": ["X_1.0"]},
    weak={"libc.so.6": ["GLIBC_9.9"]},
    defined=["OWN_1.0", "OWN_1.1"],
    soname="libme.so.1",
    runpath="$ORIGIN/../me.libs:/opt/lib",
    interpreter="/lib64/ld-linux-x86-64.so.2",
    symbols=["PyInit_me"],
)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def test_everything_that_a_file_asks_for_is_read() -> None:
    assert elf.of_bytes(WHOLE, "PyInit_me") == Elf(
        machine=62,
        bits=64,
        little=True,
        kind=elf.SHARED,
        interpreter="/lib64/ld-linux-x86-64.so.2",
        soname="libme.so.1",
        needed=("libc.so.6", "libx.so.1"),
        versions={"libc.so.6": ("GLIBC_2.17", "GLIBC_2.4"), "libx.so.1": ("X_1.0",)},
        defined=("OWN_1.0", "OWN_1.1"),
        search=("$ORIGIN/../me.libs", "/opt/lib"),
        marked=True,
    )


@pytest.mark.parametrize(("arch", "platform"), [(each, f"linux/{each}") for each in elves.MACHINES])
def test_every_width_and_byte_order_is_read(arch: str, platform: str) -> None:
    found = elf.of_bytes(elves.make(arch, versions={"libc.so.6": ["GLIBC_2.17"]}, soname="x"))
    assert found
    assert (found.versions, found.soname, found.fault) == ({"libc.so.6": ("GLIBC_2.17",)}, "x", "")
    assert elf.fits(found, platform)
    assert elf.cpu(found) == arch
    assert not any(elf.fits(found, f"linux/{other}") for other in elves.MACHINES if other != arch)


def test_a_name_is_only_found_whole() -> None:
    for other in ("PyInit_m", "yInit_me", "PyInit_me2", ""):
        found = elf.of_bytes(WHOLE, other)
        assert found
        assert not found.marked


def test_what_is_no_elf_file_is_none() -> None:
    assert elf.of_bytes(b"") is None
    assert elf.of_bytes(b"\x7fEL") is None
    assert elf.of_bytes(b"#!/bin/sh\n") is None


def test_object_files_are_not_looked_into() -> None:
    found = elf.of_bytes(elves.make(kind=1))
    assert found == Elf(62, 64, True, 1)


@pytest.mark.slow
def test_the_libraries_of_this_machine_are_read_as_another_reader_does() -> None:
    folders = [Path(sysconfig.get_path("platlib")), Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")]
    files = [path for folder in folders for path in sorted(folder.rglob("*.so*")) if path.is_file()]
    read = [path for path in files[:150] if path.open("rb").read(4) == elf.MAGIC]
    assert len(read) > 5
    for path in read:
        found = elf.of_bytes(path.read_bytes())
        assert found is not None, path
        assert (found.needed, found.soname, found.versions, found.fault) == _other(path), path


def _other(path: Path) -> tuple[tuple[str, ...], str, dict[str, tuple[str, ...]], str]:
    elffile: Any = importlib.import_module("elftools.elf.elffile")  # its types leave out half of it
    with path.open("rb") as file:
        parsed = elffile.ELFFile(file)
        tags = [tag for each in parsed.iter_segments("PT_DYNAMIC") for tag in each.iter_tags()]
        table = parsed.get_section_by_name(".gnu.version_r")
        versions: dict[str, tuple[str, ...]] = {}
        for library, rows in table.iter_versions() if table else ():
            names = {row.name for row in rows if not row.entry.vna_flags & 2}
            versions[library.name] = tuple(sorted({*versions.get(library.name, ()), *names}))
        needed = tuple(dict.fromkeys(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"))
        soname = next((tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"), "")
        return needed, soname, versions, ""


@given(st.integers(0, len(WHOLE)))
def test_a_file_cut_off_anywhere_is_read_or_told_to_be_damaged(size: int) -> None:
    found = elf.of_bytes(WHOLE[:size], "PyInit_me")
    if size < 4:
        assert found is None
    elif size < len(WHOLE):
        assert found is not None
        assert found.fault


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=12))
def test_changed_bytes_end_in_an_answer(changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    found = elf.of_bytes(bytes(data), "PyInit_me")
    passed: list[Elf] = []
    assert b"".join(elf.passing(iter([bytes(data)]), len(data), "PyInit_me", passed)) == data
    assert passed == ([found] if found else [])


@given(st.sampled_from(list(elves.MACHINES)), st.binary(max_size=600))
def test_anything_behind_a_header_ends_in_an_answer(arch: str, data: bytes) -> None:
    found = elf.of_bytes(elves.make(arch)[:64] + data)
    assert found is not None


def test_tables_that_point_at_themselves_come_to_an_end() -> None:
    for word in range(0, len(WHOLE) - 4, 4):
        for value in (b"\xff\xff\xff\xff", b"\xff" * 8, b"\0\0\0\0", b"\x01\0\0\0"):
            changed = WHOLE[:word] + value + WHOLE[word + 4 :]
            found: list[Elf] = []
            list(elf.passing(iter([changed]), len(changed), "PyInit_me", found))
            assert found == ([] if word == 0 else [elf.of_bytes(changed, "PyInit_me")])


@pytest.mark.parametrize("size", [1, 5 << 20])
def test_a_file_is_read_as_it_passes(size: int) -> None:
    data = WHOLE + bytes(size)
    found: list[Elf] = []
    pieces = (data[at : at + 1000] for at in range(0, len(data), 1000))
    assert b"".join(elf.passing(pieces, len(data), "PyInit_me", found)) == data
    assert found == [elf.of_bytes(WHOLE, "PyInit_me")]


@pytest.mark.parametrize("data", [b"", b"text", b"\x7f"])
def test_other_files_pass_and_leave_nothing(data: bytes) -> None:
    found: list[Elf] = []
    assert b"".join(elf.passing(iter([data]), len(data), "", found)) == data
    assert found == []
