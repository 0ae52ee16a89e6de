"""Native files of wheels and of a service, through the language: what Python would load, and what else is there."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import uv

from cdaf import progress
from cdaf.bases import elf
from cdaf.errors import ProjectError, ResolveError
from cdaf.languages import Planned, python
from cdaf.languages._python import modules
from cdaf.languages._python.values import Target
from cdaf.projects import project
from cdaf.projects.pins import Base, Facts
from tests import elves, pykit

FACTS = msgspec.structs.replace(
    pykit.FACTS, libraries=("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6")
)
GOOD, GL = elves.make(symbols=["PyInit__x"]), elves.make(needed=["libGL.so.1"], symbols=["PyInit__x"])
CONFIG = pykit.CONFIG.replace('"linux/amd64", "linux/arm64"', '"linux/amd64"')


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def index(tmp_path: Path) -> Iterator[pykit.Index]:
    with pykit.serving(tmp_path / "index") as index:
        yield index


class Heard(progress.Silent):
    """A sink that keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        """Keep it."""
        self.said.append(text)


@pytest.fixture
def heard() -> Iterator[list[str]]:
    sink = Heard()
    progress.use(sink)
    yield sink.said
    progress.use(progress.Silent())


def planned(found: project.Project, facts: Facts = FACTS, checks: Facts | None = None) -> Planned:
    pins = pykit.pinned(facts, platforms=found.settings.image.platforms)
    if checks:
        other = pykit.pinned(checks, "python:3.13-alpine", platforms=found.settings.image.platforms)
        pins = msgspec.structs.replace(pins, bases=(*pins.bases, *other.bases))
    builds = python.pin(found, dict.fromkeys(found.settings.image.platforms, facts))
    pins = msgspec.structs.replace(pins, builds=builds)
    return python.plan(found, python.collect(found, python.resolve(found, pins)))


def service(folder: Path, index: pykit.Index, *names: str, more: str = "", config: str = CONFIG) -> project.Project:
    wanted = ", ".join(f'"{name}"' for name in names)
    config = config.replace("[image]\n", f"[image]\nbytecode = false\n{more}")
    return pykit.service(folder, index, f"dependencies = [{wanted}]\n", config)


def test_all_faults_of_all_packages_and_platforms_come_at_once(tmp_path: Path, index: pykit.Index) -> None:
    pykit.wheel(index.folder, "good", files={"good/_x.abi3.so": GOOD}, tag="cp313-abi3-manylinux_2_28_x86_64")
    pykit.wheel(index.folder, "good", files={"good/_x.abi3.so": GOOD}, tag="cp313-abi3-manylinux_2_28_aarch64")
    pykit.wheel(index.folder, "needy", files={"needy/_x.so": GL, "needy/_y.cpython-313-x86_64-linux-gnu.so": GL})
    new = elves.make(versions={"libc.so.6": ["GLIBC_2.99"]})
    pykit.wheel(index.folder, "tool", files={"tool.py": "", "@/scripts/tool": new})
    with pytest.raises(ResolveError) as told:
        planned(service(tmp_path / "svc", index, "good", "needy", "tool", config=pykit.CONFIG))
    message = told.value.message
    for line in (
        "native files that the base cannot load: 5 faults",
        "linux/arm64: good 1.0: good/_x.abi3.so is for amd64, not for linux/arm64",
        "linux/amd64: needy 1.0: needy/_x.so (and 1 more of its files) needs libGL.so.1, which python:3.13-slim lacks",
        "linux/amd64: tool 1.0: bin/tool needs glibc 2.99, and python:3.13-slim has glibc 2.41",
        "linux/arm64: needy 1.0: needy/_x.so (and 1 more of its files) is for amd64",
        "linux/arm64: tool 1.0: bin/tool is for amd64",
    ):
        assert line in message
    assert "image.unaudited" in told.value.hint


def test_what_no_import_loads_is_noted(tmp_path: Path, index: pykit.Index, heard: list[str]) -> None:
    files: dict[str, str | bytes] = {
        "pkg/__init__.py": "",
        "pkg/tests/data/tool.arm64": elves.make("arm64"),
        "pkg/plugins/libplug.so": elves.make(needed=["libcuda.so.1"]),
        "pkg/_x.cpython-312-x86_64-linux-gnu.so": GL,
        "pkg/_t.cpython-313t-x86_64-linux-gnu.so": GL,
        "pkg/data.o": elves.make(kind=1),
    }
    pykit.wheel(index.folder, "pkg", files=files)
    planned(service(tmp_path / "svc", index, "pkg"))
    notes = [each for each in heard if "may do without" in each]
    assert len(notes) == 1
    assert "linux/amd64: pkg 1.0: " in notes[0]
    assert "(and 3 more of its files)" in notes[0]


def test_a_portable_wheel_may_do_without_what_no_system_promises(
    tmp_path: Path, index: pykit.Index, heard: list[str]
) -> None:
    """As numba does without TBB."""
    pool = elves.make(needed=["libtbb.so.12"])
    files: dict[str, str | bytes] = {"pkg/_x.abi3.so": GOOD, "pkg/_pool.abi3.so": pool}
    pykit.wheel(index.folder, "pkg", files=files, tag="cp313-abi3-manylinux_2_28_x86_64")
    planned(service(tmp_path / "svc", index, "pkg"))
    assert "libtbb.so.12" in "".join(heard)


@pytest.mark.parametrize("tag", ["py3-none-manylinux_2_28_x86_64", "py3-none-any"])
def test_a_native_wheel_has_to_hold_something_that_fits(tmp_path: Path, index: pykit.Index, tag: str) -> None:
    """As those whose library is loaded by ctypes; native files in a wheel for all platforms may be data."""
    pykit.wheel(index.folder, "pkg", files={"pkg/lib_pkg.so": elves.make(needed=["libgomp.so.1"])}, tag=tag)
    found = service(tmp_path / "svc", index, "pkg")
    if tag.endswith("any"):
        planned(found)
    else:
        with pytest.raises(ResolveError, match=r"pkg/lib_pkg.so needs libgomp.so.1"):
            planned(found)


def test_a_wheel_for_many_cpus_needs_one_that_fits(tmp_path: Path, index: pykit.Index) -> None:
    files = {f"pkg/{arch}/_x.so": elves.make(arch, symbols=["PyInit__x"]) for arch in ("amd64", "arm64", "s390x")}
    pykit.wheel(index.folder, "pkg", files=files)
    planned(service(tmp_path / "svc", index, "pkg", config=pykit.CONFIG))


def test_libraries_of_the_image_and_of_other_packages_do(tmp_path: Path, index: pykit.Index) -> None:
    module = elves.make(needed=["libown-1.so", "libelse.so.2"], runpath="$ORIGIN/../one.libs")
    pykit.wheel(index.folder, "one", files={"one/_x.abi3.so": module, "one.libs/libown-1.so": elves.make()})
    pykit.wheel(index.folder, "two", files={"two/libelse.so": elves.make(soname="libelse.so.2")})
    planned(service(tmp_path / "svc", index, "one", "two"))


def test_patterns_take_files_out_of_the_audit(tmp_path: Path, index: pykit.Index) -> None:
    pykit.wheel(index.folder, "needy", files={"needy/gui/_x.so": GL, "needy/_y.abi3.so": GOOD})
    planned(service(tmp_path / "svc", index, "needy", more='unaudited = ["needy/gui/**"]\n'))
    with pytest.raises(ResolveError, match="libGL"):
        planned(service(tmp_path / "two", index, "needy", more='unaudited = ["needy/_y*"]\n'))
    with pytest.raises(ProjectError, match=r"image.unaudited: 'nothing/\*\*' matches no native file"):
        planned(service(tmp_path / "three", index, "needy", more='unaudited = ["nothing/**", "needy/**"]\n'))


def test_files_that_are_left_out_are_not_audited(tmp_path: Path, index: pykit.Index) -> None:
    pykit.wheel(index.folder, "needy", files={"needy/__init__.py": "", "needy/gui/_x.so": GL})
    planned(service(tmp_path / "svc", index, "needy", more='exclude = ["needy/gui/**"]\n'))


def checked(
    folder: Path, index: pykit.Index, main: str, smoke: str, more: str = "", config: str = ""
) -> project.Project:
    """A service with checks; the packages are of its image and of its checks."""
    asks = f'dependencies = ["{main}"]\n[dependency-groups]\nsmoke = ["{smoke}"]\n'
    told = CONFIG.replace("[image]\n", f"[image]\nbytecode = false\n{more}")
    told += f'[smoke]\ngroup = "smoke"\nchecks = ["tester"]\nhealth = "/healthz"\n{config}'
    return pykit.service(folder, index, asks, told, {"smoke/test_it.py": ""})


def test_the_packages_of_checks_are_audited_on_top_of_the_image(tmp_path: Path, index: pykit.Index) -> None:
    pykit.wheel(index.folder, "tester", files={"tester/_x.abi3.so": GL})
    pykit.wheel(index.folder, "one", files={"one/_x.abi3.so": GL})
    with pytest.raises(ResolveError) as told:
        planned(checked(tmp_path / "svc", index, "one", "tester"))
    assert "native files that the base cannot load: 2 faults" in told.value.message
    assert "linux/amd64: one 1.0: one/_x.abi3.so needs libGL.so.1, which python:3.13-slim" in told.value.message
    assert "linux/amd64, checks: tester 1.0: tester/_x.abi3.so needs libGL.so.1" in told.value.message
    named = 'unaudited = ["tester/_x.abi3.so", "one/*"]\n'
    assert planned(checked(tmp_path / "two", index, "one", "tester", named)).plans.smoke


def test_checks_have_the_libraries_of_the_image_but_not_the_image_those_of_its_checks(
    tmp_path: Path, index: pykit.Index
) -> None:
    pykit.wheel(index.folder, "user", files={"user/_x.abi3.so": elves.make(needed=["libelse.so.2"])})
    pykit.wheel(index.folder, "owner", files={"owner/libelse.so": elves.make(soname="libelse.so.2")})
    assert planned(checked(tmp_path / "svc", index, "owner", "user")).plans.smoke
    with pytest.raises(ResolveError, match=r"linux/amd64: user 1\.0: user/_x\.abi3\.so needs libelse\.so\.2"):
        planned(checked(tmp_path / "two", index, "user", "owner"))


def test_the_packages_of_checks_are_held_against_the_base_of_the_checks(tmp_path: Path, index: pykit.Index) -> None:
    needy = elves.make(needed=["libc.so.6"], versions={"libc.so.6": ["GLIBC_2.38"]})
    pykit.wheel(index.folder, "tester", files={"tester/_x.abi3.so": needy})
    pykit.wheel(index.folder, "one")
    found = checked(tmp_path / "svc", index, "one", "tester", config='image = "python:3.13-alpine"\n')
    assert planned(found, checks=FACTS).plans.smoke
    old = msgspec.structs.replace(FACTS, libc_version="2.36")
    with pytest.raises(ResolveError) as told:
        planned(found, checks=old)
    line = "linux/amd64, checks: tester 1.0: tester/_x.abi3.so needs glibc 2.38, and python:3.13-alpine has glibc 2.36"
    assert line in told.value.message


def test_the_services_own_files_are_audited(tmp_path: Path, index: pykit.Index) -> None:
    folder = tmp_path / "svc"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "_x.so").write_bytes(GL)
    (folder / "lib" / "notes.txt").write_text("text")
    config = CONFIG.replace("port = 8000\n", 'port = 8000\ninclude = ["lib/**"]\n')
    with pytest.raises(ResolveError, match=r"the service's own files: lib/_x.so needs libGL.so.1"):
        planned(service(folder, index, config=config))


def test_a_lock_with_few_facts_is_taken_as_it_is(tmp_path: Path, index: pykit.Index) -> None:
    pykit.wheel(index.folder, "needy", files={"needy/_x.abi3.so": GL})
    planned(service(tmp_path / "svc", index, "needy"), pykit.FACTS)


@pytest.mark.parametrize(
    ("name", "entrance", "loads"),
    [
        ("pkg/_x.so", "PyInit__x", True),
        ("pkg/_x.abi3.so", "PyInit__x", True),
        ("_x.cpython-313-x86_64-linux-gnu.so", "PyInit__x", True),
        ("_x.cpython-313d-x86_64-linux-gnu.so", "PyInit__x", False),
        ("_x.cpython-314-x86_64-linux-gnu.so", "PyInit__x", False),
        ("libx.so", "PyInit_libx", False),
        ("libx.so.1", "", False),
        ("_x.pyd", "", False),
    ],
)
def test_modules_are_told_by_name_and_by_entrance(name: str, entrance: str, loads: bool) -> None:
    assert modules.entrance(name) == entrance
    found = elf.of_bytes(GOOD, entrance)
    assert found
    target = Target(platform="linux/amd64", base=Base(reference="", platform="", digest="", facts=FACTS))
    assert modules.loadable({name: found}, target) == ({name} if loads else set())


# Wheels as their projects publish them, from this machine's index

LOADERS = ("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1")
SYSTEM = tuple(f"lib{name}" for name in ("c.so.6", "dl.so.2", "m.so.6", "pthread.so.0", "resolv.so.2", "rt.so.1"))
GLIBC = (*LOADERS, *SYSTEM, "libutil.so.1", "libz.so.1", "libgcc_s.so.1", "libstdc++.so.6")
DEBIAN = msgspec.structs.replace(
    pykit.FACTS, libraries=GLIBC, symbols=("libstdc++.so.6(CXXABI_1.3.15)", "libstdc++.so.6(GLIBCXX_3.4.33)")
)
ALPINE = msgspec.structs.replace(
    pykit.FACTS,
    libc="musl",
    libc_version="1.2.5",
    libraries=("ld-musl-x86_64.so.1", "libc.musl-x86_64.so.1", "libstdc++.so.6", "libgcc_s.so.1"),
)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service of numpy, psycopg and pydantic; its checkout, with a cache beside it."""
    folder = tmp_path_factory.mktemp("real") / "svc"
    declared = '[project]\nname = "svc"\nversion = "1.4.0"\nrequires-python = ">=3.11"\n'
    declared += 'dependencies = ["numpy", "psycopg-binary", "pydantic-core"]\n'
    pykit.write(folder, {"pyproject.toml": declared, "cdaf.toml": pykit.CONFIG + "bytecode = false\n"})
    pykit.run(uv.find_uv_bin(), "lock", "--quiet", "--python", sys.executable, cwd=folder, UV_PYTHON_DOWNLOADS="never")
    pykit.commit(folder)
    return folder


def replanned(root: Path, facts: Facts, others: Facts, monkeypatch: pytest.MonkeyPatch) -> Planned:
    """The plan on bases other than those whose wheels were chosen, as when a wheel's name says too much."""
    monkeypatch.setenv("CDAF_CACHE", str(root.parent / "cache"))
    found = project.read(root)
    collection = python.collect(found, python.resolve(found, pykit.pinned(facts)))
    lock = msgspec.structs.replace(collection.lock, pins=pykit.pinned(others))
    return python.plan(found, msgspec.structs.replace(collection, lock=lock))


@pytest.mark.slow
@pytest.mark.parametrize("facts", [DEBIAN, ALPINE], ids=["glibc", "musl"])
def test_real_wheels_fit_the_base_that_they_were_chosen_for(
    real: Path, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = replanned(real, facts, facts, monkeypatch)
    assert len(planned.plans.images) == 2


@pytest.mark.slow
def test_real_wheels_on_another_base_are_refused(real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = msgspec.structs.replace(DEBIAN, libraries=tuple(each for each in GLIBC if "stdc++" not in each))
    old = msgspec.structs.replace(DEBIAN, libc_version="2.10")
    worn = msgspec.structs.replace(DEBIAN, symbols=("libstdc++.so.6(GLIBCXX_3.4.10)",))
    for facts, word in (
        (bare, "_multiarray_umath.cpython-313-aarch64-linux-gnu.so"),
        (bare, "needs libstdc++.so.6, which python:3.13-slim lacks"),
        (worn, "of libstdc++.so.6, which that of python:3.13-slim lacks"),
        (old, "needs glibc 2.17, and python:3.13-slim has glibc 2.10"),
        (ALPINE, "is built for glibc, and python:3.13-slim has musl 1.2.5"),
    ):
        with pytest.raises(ResolveError) as told:
            replanned(real, DEBIAN, facts, monkeypatch)
        assert word in told.value.message
