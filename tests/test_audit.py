"""Native files against a base: what is refused, what is only noted, and what is no fault at all."""

from collections.abc import Sequence

import msgspec
import pytest

from cdaf.bases import audit, elf
from cdaf.bases.audit import File
from cdaf.projects.pins import Base, Facts
from tests import elves

GLIBC = Facts(
    libc="glibc",
    libc_version="2.36",
    libraries=("ld-linux-x86-64.so.2", "libc.so.6", "libgcc_s.so.1", "libm.so.6", "libstdc++.so.6", "libz.so.1"),
    symbols=("libgcc_s.so.1(GCC_12.0.0)", "libstdc++.so.6(CXXABI_1.3.13)", "libstdc++.so.6(GLIBCXX_3.4.30)"),
)
MUSL = Facts(libc="musl", libc_version="1.2.5", libraries=("ld-musl-x86_64.so.1", "libc.musl-x86_64.so.1"))
SITE = "/app/.venv/lib/python3.13/site-packages"


def base(facts: Facts = GLIBC, platform: str = "linux/amd64") -> Base:
    return Base(reference="python:3.13-slim", platform=platform, digest="", facts=facts)


def file(data: bytes, name: str = "pkg/_x.abi3.so", package: str = "pkg 1.0", *, loaded: bool = True) -> File:
    found = elf.of_bytes(data)
    assert found
    return File(f"{SITE}/{name}", name, package, found, loaded)


def faults(*files: File, on: Base | None = None) -> list[str]:
    return audit.faults(audit.misfits(files, on or base())[0])


def test_what_fits_is_no_fault() -> None:
    versions = {
        "libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.36", "GLIBC_ABI_DT_RELR", "GLIBC_PRIVATE"],
        "libstdc++.so.6": ["CXXABI_1.3.9", "GLIBCXX_3.4.30", "GLIBCXX_3.4"],
        "libgcc_s.so.1": ["GCC_3.0"],
        "libz.so.1": ["ZLIB_9.9"],  # the base's own is not known
    }
    assert faults(file(elves.make(needed=list(versions), versions=versions))) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (elves.make("arm64"), ["is for arm64, not for linux/amd64", "lock a version that is built for linux/amd64"]),
        (elves.make("386"), ["is for 386"]),
        (
            elves.make(versions={"libc.so.6": ["GLIBC_2.38", "GLIBC_2.4"]}),
            ["needs glibc 2.38, and python:3.13-slim has glibc 2.36", "choose a base with glibc 2.38 or later"],
        ),
        (elves.make(needed=["libc.musl-x86_64.so.1"]), ["is built for musl", "choose a base with musl"]),
        (elves.make(needed=[], interpreter="/lib/ld-musl-x86_64.so.1"), ["is built for musl"]),
        (elves.make(needed=["libc.so"]), ["is built for musl"]),
        (
            elves.make(needed=["libGL.so.1"]),
            ["needs libGL.so.1, which python:3.13-slim lacks", "Debian's package is usually libgl1"],
        ),
        (
            elves.make(needed=["libstdc++.so.6"], versions={"libstdc++.so.6": ["GLIBCXX_3.4.31"]}),
            ["needs GLIBCXX_3.4.31 of libstdc++.so.6", "newer libstdc++.so.6"],
        ),
        (elves.make()[:90], ["cannot be loaded: it is damaged"]),
        (elves.make(needed=[], interpreter="/lib64/ld-linux.so.3"), ["needs ld-linux.so.3"]),
    ],
)
def test_what_does_not_fit_is_told_with_what_mends_it(data: bytes, words: list[str]) -> None:
    found = faults(file(data))
    assert len(found) == 1
    assert found[0].startswith("pkg 1.0: pkg/_x.abi3.so ")
    for word in words:
        assert word in found[0]


def test_a_glibc_that_is_told_by_no_number_counts_too() -> None:
    old = Facts(libc="glibc", libc_version="2.31", libraries=("libc.so.6",))
    assert "glibc 2.36" in faults(file(elves.make(versions={"libc.so.6": ["GLIBC_ABI_DT_RELR"]})), on=base(old))[0]


def test_musl_refuses_what_is_built_for_glibc_unless_something_stands_in() -> None:
    wheel = file(elves.make(versions={"libc.so.6": ["GLIBC_2.99"]}))
    assert "is built for glibc, and python:3.13-slim has musl 1.2.5" in faults(wheel, on=base(MUSL))[0]
    libraries = (*MUSL.libraries, "libc.so.6", "ld-linux-x86-64.so.2")
    with_gcompat = Facts(libc="musl", libc_version="1.2.5", libraries=libraries)
    assert not any("is built for" in each for each in faults(wheel, on=base(with_gcompat)))
    assert faults(file(elves.make(needed=["libc.musl-x86_64.so.1", "libc.so", "libm.so"])), on=base(MUSL)) == []
    assert "apk add so:libGL.so.1" in faults(file(elves.make(needed=["libGL.so.1"])), on=base(MUSL))[0]


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("libGL.so.1", "libgl1"),
        ("libX11.so.6", "libx11-6"),
        ("libgcc_s.so.1", "libgcc-s1"),
        ("libpq.so.5", "libpq5"),
        ("libodd.so", "libodd"),
        ("libz.so.1", "zlib1g"),
        ("libglib-2.0.so.0", "libglib2.0-0t64"),
    ],
)
def test_packages_are_named_by_the_rule_of_debian(name: str, package: str) -> None:
    bare = Facts(libc="glibc", libc_version="2.36", libraries=("libc.so.6",))
    assert f"usually {package})" in faults(file(elves.make(needed=[name])), on=base(bare))[0]


def test_libraries_are_found_by_the_search_path_in_the_package_and_in_others() -> None:
    module = elves.make(needed=["libown.so.1", "libelse.so.2"], runpath="$ORIGIN/../pkg.libs")
    own = file(elves.make(), "pkg.libs/libown.so.1", loaded=False)
    other = file(elves.make(soname="libelse.so.2"), "other/lib/libelse-99.so", "other 2.0", loaded=False)
    assert faults(file(module), own, other) == []
    assert len(faults(file(module), own)) == 1


def test_what_a_loaded_file_needs_is_loaded_too() -> None:
    module = file(elves.make(needed=["libown.so.1"], runpath="${ORIGIN}"))
    own = file(elves.make(needed=["libdeep.so.1"]), "pkg/libown.so.1", loaded=False)
    deep = file(elves.make(versions={"libc.so.6": ["GLIBC_2.50"]}), "pkg.libs/libdeep.so.1", loaded=False)
    assert faults(module, own, deep) == [
        "pkg 1.0: pkg.libs/libdeep.so.1 needs glibc 2.50, and python:3.13-slim has glibc 2.36; "
        "choose a base with glibc 2.50 or later, or lock a version that is built for an older one"
    ]


def test_libraries_for_another_cpu_satisfy_nothing() -> None:
    module = file(elves.make(needed=["libown.so.1"]))
    foreign = file(elves.make("arm64"), "pkg/arm64/libown.so.1", loaded=False)
    assert len(faults(module, foreign)) == 1


def test_needs_in_a_circle_come_to_an_end() -> None:
    one = file(elves.make(needed=["b.so"], soname="a.so"), "a.so")
    two = file(elves.make(needed=["a.so"], soname="b.so"), "b.so", loaded=False)
    assert faults(one, two) == []


def test_what_nothing_loads_is_only_noted() -> None:
    plugin = file(elves.make(needed=["libcuda.so.1"]), "pkg/plugin.so", loaded=False)
    more = file(elves.make("arm64"), "pkg/tool", loaded=False)
    loaded, others = audit.misfits([plugin, more], base())
    assert loaded == []
    assert audit.notes(others) == [
        "pkg 1.0: pkg/plugin.so (and 1 more of its files) needs libcuda.so.1, which python:3.13-slim lacks"
    ]


def test_a_portable_package_may_do_without_what_no_system_promises() -> None:
    good, pool = file(elves.make(), "pkg/_a.abi3.so"), elves.make(needed=["libtbb.so.12"])
    portable = File(f"{SITE}/pkg/_b.abi3.so", "pkg/_b.abi3.so", "pkg 1.0", elf.Elf(62, 64, True, 3), True, True, True)
    tbb = msgspec.structs.replace(portable, elf=elf.of_bytes(pool))
    loaded, others = audit.misfits([good, tbb], base())
    assert (loaded, [each.lacks for each in others]) == ([], ["libtbb.so.12"])
    built = msgspec.structs.replace(tbb, portable=False)
    assert [each.lacks for each in audit.misfits([good, built], base())[0]] == ["libtbb.so.12"]
    promised = msgspec.structs.replace(portable, elf=elf.of_bytes(elves.make(needed=["libGL.so.1"])))
    assert [each.lacks for each in audit.misfits([good, promised], base())[0]] == ["libGL.so.1"]


def test_a_portable_package_of_which_nothing_is_left_is_refused() -> None:
    library = file(elves.make(needed=["libodbc.so.2"]), "pkg.libs/liba.so.1", loaded=False)
    module = file(elves.make(needed=["liba.so.1"]), "pkg/_x.abi3.so")
    portable = [msgspec.structs.replace(each, portable=True, native=True) for each in (library, module)]
    assert [each.lacks for each in audit.misfits(portable, base())[0]] == ["libodbc.so.2"]
    more = file(elves.make(), "pkg/_y.abi3.so")
    assert audit.misfits([*portable, more], base())[0] == []


def test_one_fault_of_many_files_is_one_line() -> None:
    files = [file(elves.make(needed=["libGL.so.1"]), f"pkg/_{number}.abi3.so") for number in range(9)]
    assert len(faults(*files)) == 1
    assert "pkg/_0.abi3.so (and 8 more of its files)" in faults(*files)[0]


def test_facts_that_say_nothing_refuse_nothing() -> None:
    """As those of a lock that was written before the facts held more."""
    wanted: Sequence[str] = ["libGL.so.1", "libstdc++.so.6"]
    data = elves.make(needed=wanted, versions={"libc.so.6": ["GLIBC_2.99"], "libstdc++.so.6": ["GLIBCXX_3.4.99"]})
    assert faults(file(data), on=base(Facts())) == []


def test_the_newest_of_each_family_is_kept() -> None:
    versions = ["GLIBCXX_3.4.9", "GLIBCXX_3.4.30", "GLIBCXX_LDBL_3.4", "CXXABI_1.3", "CXXABI_1.3.13", "GCC", "X_y"]
    assert audit.newest(versions) == ("CXXABI_1.3.13", "GLIBCXX_3.4.30", "GLIBCXX_LDBL_3.4")
