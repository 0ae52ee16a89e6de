"""The Python language end to end on small real services: resolve, collect, plan; and what it refuses."""

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cdaf.errors import CdafError, ProjectError, ResolveError
from cdaf.images import plan as plans
from cdaf.languages import Collection, Planned, python
from cdaf.languages._python.values import Choice
from cdaf.projects import project
from cdaf.projects.pins import Facts, Pins
from tests import pykit

BOTH = ("linux/amd64", "linux/arm64")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[pykit.Index]:
    with pykit.serving(tmp_path / "index") as index:
        yield index


def pinned(found: project.Project, facts: Facts = pykit.FACTS) -> Pins:
    pins = pykit.pinned(facts, platforms=found.settings.image.platforms)
    builds = python.pin(found, dict.fromkeys(found.settings.image.platforms, facts))
    return msgspec.structs.replace(pins, builds=builds)


def through(found: project.Project, pins: Pins | None = None) -> tuple[Collection, Planned]:
    lock = python.resolve(found, pins or pinned(found))
    collection = python.collect(found, lock)
    return collection, python.plan(found, collection)


def names(collection: Collection) -> dict[str, tuple[tuple[str, ...], str]]:
    return {
        each.dependency.archive.removeprefix("deps/"): (each.dependency.platforms, each.dependency.group)
        for each in collection.archives
    }


SMOKE = pykit.CONFIG + '[smoke]\ngroup = "smoke"\nchecks = ["pytest"]\nhealth = "/healthz"\n'


def test_each_platform_gets_its_wheels_and_checks_what_the_image_lacks(tmp_path: Path, index: pykit.Index) -> None:
    for arch in ("x86_64", "aarch64"):
        for libc in ("manylinux_2_28", "manylinux_2_99", "musllinux_1_2"):
            pykit.wheel(index.folder, "native", tag=f"cp313-cp313-{libc}_{arch}")
    for name in ("common", "tester", "extra", "grouped"):
        pykit.wheel(index.folder, name)
    more = 'dependencies = ["native", "common; sys_platform == \'linux\'", "tester; sys_platform == \'win32\'"]\n'
    more += '[project.optional-dependencies]\nx = ["extra"]\n[dependency-groups]\n'
    more += 'smoke = ["tester", "common"]\ndev = ["native"]\n'
    more += 'run = ["grouped"]\n'
    config = SMOKE.replace("port = 8000\n", 'port = 8000\nextras = ["x"]\ngroups = ["run"]\n')
    collection, planned = through(pykit.service(tmp_path / "svc", index, more, config, {"smoke/test_it.py": ""}))
    assert names(collection) == {
        "common-1.0-py3-none-any.whl": (BOTH, "main"),
        "extra-1.0-py3-none-any.whl": (BOTH, "main"),
        "grouped-1.0-py3-none-any.whl": (BOTH, "main"),
        "native-1.0-cp313-cp313-manylinux_2_28_aarch64.whl": (("linux/arm64",), "main"),
        "native-1.0-cp313-cp313-manylinux_2_28_x86_64.whl": (("linux/amd64",), "main"),
        "svc-1.4.0-py3-none-any.whl": (BOTH, "main"),
        "tester-1.0-py3-none-any.whl": (BOTH, "smoke"),
    }
    assert [each.platform for each in planned.plans.images] == list(BOTH)
    smoke = plans.members(planned.plans.smoke[0].layers)
    assert {"deps/tester-1.0-py3-none-any.whl", "smoke/smoke/test_it.py"} <= smoke
    assert "deps/common-1.0-py3-none-any.whl" not in smoke
    image = planned.plans.images[0]
    assert [layer.name for layer in image.layers] == ["user", "packages under 64 kB", "service"]
    assert "deps/svc-1.4.0-py3-none-any.whl" in plans.members(image.layers[-1:])
    assert image.config.command == ("svc",)
    assert image.config.user == "10001:10001"
    assert image.config.environment["PATH"].startswith("/app/.venv/bin:")
    assert image.config.health is not None
    assert image.config.health.command[-1] == "http://127.0.0.1:8000/healthz"
    assert image.created == "2026-01-02T03:04:05Z"
    assert planned.generated["generated/passwd"].endswith(b"app:x:10001:10001::/app:/usr/sbin/nologin\n")


def test_a_warm_run_asks_nobody_runs_nothing_and_gives_the_same_plan(
    tmp_path: Path, index: pykit.Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    pykit.sdist(index.folder, "built")
    pykit.wheel(index.folder, "common")
    found = pykit.service(tmp_path / "svc", index, 'dependencies = ["built", "common"]\n')
    pins = pinned(found)
    first = through(found, pins)
    asked = len(index.asked)
    monkeypatch.setattr("cdaf.languages._python.lockfile.export", None)
    monkeypatch.setattr("cdaf.languages._python.build.on_host", None)
    second = through(found, pins)
    assert plans.encode(second[1].plans) == plans.encode(first[1].plans)
    assert second[1].generated == first[1].generated
    assert second[0].archives == first[0].archives
    assert len(index.asked) == asked


def test_what_is_built_is_the_same_from_anywhere(
    tmp_path: Path, index: pykit.Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other folders, other caches, other umask, time zone and locale."""
    import os

    pykit.sdist(index.folder, "built")
    digests = []
    for number, (umask, zone) in enumerate([(0o022, "UTC"), (0o077, "Asia/Tokyo")]):
        monkeypatch.setenv("CDAF_CACHE", str(tmp_path / f"cache{number}"))
        monkeypatch.setenv("TZ", zone)
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(1_700_000_000 + number * 100_000))
        before = os.umask(umask)
        try:
            found = pykit.service(tmp_path / f"place{number}" / "svc", index, 'dependencies = ["built"]\n')
            collection, _ = through(found)
        finally:
            os.umask(before)
        digests.append({each.dependency.name: each.dependency.sha256 for each in collection.archives})
    assert digests[0] == digests[1]


def test_a_built_wheel_is_canonical(tmp_path: Path, index: pykit.Index) -> None:
    found = pykit.service(tmp_path / "svc", index, files={"src/svc/zz.py": "", "src/svc/a.py": ""})
    collection, _ = through(found)
    with zipfile.ZipFile(collection.archives[0].path) as built:
        members = built.infolist()
    listed = [member.filename for member in members]
    info = [name for name in listed if ".dist-info/" in name]
    assert listed == [*sorted(set(listed) - set(info)), *sorted(set(info) - {info[-1]}), info[-1]]
    assert info[-1].endswith("/RECORD")
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}
    assert {member.external_attr >> 16 for member in members} == {0o100644}


def test_only_tracked_files_are_built(tmp_path: Path, index: pykit.Index) -> None:
    found = pykit.service(tmp_path / "svc", index, files={".gitignore": "*.secret\n"})
    pins = pinned(found)
    before = through(found, pins)[0].archives[0].dependency.sha256
    pykit.write(tmp_path / "svc", {"src/svc/x.secret": "s3cret", "src/svc/untracked.py": "x = 1\n"})
    assert through(found, pins)[0].archives[0].dependency.sha256 == before
    pykit.write(tmp_path / "svc", {"src/svc/__init__.py": "changed = True\n"})
    assert through(found, pins)[0].archives[0].dependency.sha256 != before


def test_workspace_path_and_git_dependencies_are_built(tmp_path: Path, index: pykit.Index) -> None:
    gitted = pykit.write(tmp_path / "gitted", {f"sub/{name}": text for name, text in pykit.package("gitted").items()})
    pykit.commit(gitted)
    commit = pykit.run("git", "rev-parse", "HEAD", cwd=gitted).strip()
    top = tmp_path / "top"
    files = {f"packages/member/{name}": text for name, text in pykit.package("member").items()}
    files |= {f"vendored/{name}": text for name, text in pykit.package("vendored").items()}
    files |= {
        f"services/svc/{name}": text
        for name, text in pykit.package("svc", more='dependencies = ["member", "vendored", "gitted"]').items()
    }
    files["services/svc/pyproject.toml"] += (
        '[tool.uv.sources]\nmember = { workspace = true }\nvendored = { path = "../../vendored", editable = true }\n'
        f'gitted = {{ git = "file://{gitted}", subdirectory = "sub" }}\n'
    )
    files["services/svc/cdaf.toml"] = pykit.CONFIG
    files["pyproject.toml"] = '[tool.uv.workspace]\nmembers = ["packages/*", "services/*"]\n'
    pykit.write(top, files)
    pykit.lock(top, index)
    pykit.commit(top)
    found = project.read(top / "services" / "svc")
    lock = python.resolve(found, pinned(found))
    collection = python.collect(found, lock)
    assert {each.dependency.name: each.dependency.built_from for each in collection.archives} == {
        "gitted": f"git+file://{gitted}@{commit}#subdirectory=sub",
        "member": "packages/member",
        "svc": "services/svc",
        "vendored": "vendored",
    }
    assert top / "packages" / "member" in lock.inputs
    python.plan(found, collection)


def test_a_version_that_git_says_reaches_the_build(tmp_path: Path, index: pykit.Index) -> None:
    files = pykit.package("svc")
    files["pyproject.toml"] = files["pyproject.toml"].replace('version = "1.0"', 'dynamic = ["version"]')
    pykit.write(tmp_path / "svc", {**files, "cdaf.toml": pykit.CONFIG})
    pykit.run("git", "-c", "init.defaultBranch=main", "init", "-q", cwd=tmp_path / "svc")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SETUPTOOLS_SCM_PRETEND_VERSION", "0.0")
        pykit.lock(tmp_path / "svc", index)
    pykit.commit(tmp_path / "svc")
    pykit.run("git", "tag", "v2.5.0", cwd=tmp_path / "svc")
    collection, _ = through(project.read(tmp_path / "svc"))
    assert [each.dependency.version for each in collection.archives] == ["2.5.0"]


def refused(kind: type[CdafError], found: project.Project, pins: Pins | None = None) -> CdafError:
    with pytest.raises(kind) as caught:
        through(found, pins)
    return caught.value


def test_wheels_missing_for_platforms_come_all_at_once(tmp_path: Path, index: pykit.Index) -> None:
    for name in ("one", "two"):
        pykit.wheel(index.folder, name, tag="cp313-cp313-manylinux_2_28_x86_64")
    found = pykit.service(tmp_path / "svc", index, 'dependencies = ["one", "two"]\n')
    error = refused(ResolveError, found, pykit.pinned())
    assert "uv.lock: 2 faults" in error.message
    for name in ("one", "two"):
        assert f"{name} 1.0 has no wheel for linux/arm64 (Python 3.13, glibc 2.41) and no sdist" in error.message
        assert f"{name}-1.0-cp313-cp313-manylinux_2_28_x86_64.whl" in error.message


def test_a_base_whose_python_the_project_excludes(tmp_path: Path, index: pykit.Index) -> None:
    found = pykit.service(tmp_path / "svc", index)
    old = msgspec.structs.replace(pykit.FACTS, interpreter_version="3.10.4")
    error = refused(ResolveError, found, pykit.pinned(old))
    assert "requires-python is >=3.11, and python:3.13-slim has Python 3.10.4 on linux/amd64" in error.message
    bare = msgspec.structs.replace(pykit.FACTS, interpreter="", interpreter_version="")
    assert "has no Python interpreter" in refused(ResolveError, found, pykit.pinned(bare)).message


def test_a_stale_lock_and_a_missing_one(tmp_path: Path, index: pykit.Index) -> None:
    found = pykit.service(tmp_path / "svc", index)
    text = (tmp_path / "svc" / "pyproject.toml").read_text()
    (tmp_path / "svc" / "pyproject.toml").write_text(
        text.replace("[build-system]", 'dependencies = ["x"]\n[build-system]')
    )
    error = refused(ProjectError, found, pykit.pinned())
    assert (error.message.splitlines()[0], error.hint) == (
        "uv.lock is not what pyproject.toml asks for: dependencies: x is new",
        "run `uv lock` and commit uv.lock",
    )
    assert python.check(found) == ["dependencies: x is new"]
    (tmp_path / "svc" / "uv.lock").unlink()
    assert "no uv.lock in" in refused(ProjectError, found, pykit.pinned()).message


def test_groups_and_extras_that_are_not_there(tmp_path: Path, index: pykit.Index) -> None:
    config = pykit.CONFIG.replace("port = 8000\n", 'port = 8000\nextras = ["nope"]\n')
    found = pykit.service(tmp_path / "svc", index, "", config)
    error = refused(ProjectError, found, pykit.pinned())
    assert (error.message, error.output) == ("svc: service.extras: 'nope' is no extra of pyproject.toml", "")
    more = "[dependency-groups]\nsmoker = []\n"
    found = pykit.service(tmp_path / "svc2", index, more, SMOKE, {"smoke/x.py": ""})
    error = refused(ProjectError, found, pykit.pinned())
    assert "'smoke' is no dependency group of pyproject.toml, did you mean 'smoker'?" in error.message
    assert not error.output


def test_an_archive_that_was_changed_is_refused(tmp_path: Path, index: pykit.Index) -> None:
    path = pykit.wheel(index.folder, "common")
    found = pykit.service(tmp_path / "svc", index, 'dependencies = ["common"]\n')
    pins = pinned(found)
    index.replaced[path.name] = pykit.wheel(tmp_path / "evil", "common", files={"common.py": "evil"}).read_bytes()
    error = refused(ResolveError, found, pins)
    assert error.message.startswith("hash mismatch for common 1.0: the lock says sha256:")


def test_a_lock_without_hashes_is_refused(tmp_path: Path, index: pykit.Index) -> None:
    pykit.wheel(index.folder, "common")
    found = pykit.service(tmp_path / "svc", index, 'dependencies = ["common"]\n')
    path = tmp_path / "svc" / "uv.lock"
    import re

    path.write_text(re.sub(r', hash = "sha256:[0-9a-f]+"', "", path.read_text()))
    error = refused(CdafError, found, pykit.pinned())
    assert isinstance(error, ProjectError | ResolveError)
    assert "hash" in error.message + error.output


def test_two_packages_with_one_path(tmp_path: Path, index: pykit.Index) -> None:
    pykit.wheel(index.folder, "one", files={"shared/__init__.py": "", "one.py": ""})
    pykit.wheel(index.folder, "two", files={"shared/__init__.py": "", "two.py": ""})
    pykit.wheel(index.folder, "three", files={"shared/__init__.py": "other", "@/data/bin/python": "x"})
    _, planned = through(pykit.service(tmp_path / "fine", index, 'dependencies = ["one", "two"]\n'))
    skipped = [
        entry.skip
        for layer in planned.plans.images[0].layers
        for entry in layer.entries
        if isinstance(entry, plans.Unpack)
    ]
    assert sum("shared/__init__.py" in skip for skip in skipped) == 1
    error = refused(ResolveError, pykit.service(tmp_path / "bad", index, 'dependencies = ["one", "three"]\n'))
    assert (
        "one 1.0 and three 1.0 both place lib/python3.13/site-packages/shared/__init__.py, and not the same"
        in error.message
    )
    assert "the virtual environment itself and three 1.0 both place bin/python" in error.message


def test_a_file_below_another_packages_file_or_the_environments_link(tmp_path: Path, index: pykit.Index) -> None:
    pykit.wheel(index.folder, "one", files={"shared": "a file", "one.py": ""})
    pykit.wheel(index.folder, "two", files={"shared/x.py": "", "@/data/lib64/y": ""})
    error = refused(ResolveError, pykit.service(tmp_path / "bad", index, 'dependencies = ["one", "two"]\n'))
    site = "lib/python3.13/site-packages"
    assert f"one 1.0 places a file at {site}/shared, and two 1.0 one below it, {site}/shared/x.py" in error.message
    assert "the virtual environment itself places a file at lib64, and two 1.0 one below it" in error.message


def test_builds_that_cdaf_lock_does_not_pin(tmp_path: Path, index: pykit.Index) -> None:
    found = pykit.service(tmp_path / "svc", index)
    error = refused(ProjectError, found, pykit.pinned())
    assert (error.message, error.hint) == ("cdaf.lock: no build requirements of svc", "run `cdaf lock`")
    pins = pinned(found)
    path = tmp_path / "svc" / "pyproject.toml"
    path.write_text(path.read_text().replace("requires = []", 'requires = ["hatchling"]'))
    assert "svc is built with hatchling, and cdaf.lock has" in refused(ProjectError, found, pins).message


def test_a_build_that_fails_shows_its_output(tmp_path: Path, index: pykit.Index) -> None:
    found = pykit.service(
        tmp_path / "svc", index, files={"backend/tiny.py": pykit.BACKEND + "\nprint('out')\nraise OSError('no luck')\n"}
    )
    with pytest.raises(ResolveError) as caught:
        pinned(found)
    assert caught.value.message == "svc cannot be built"
    assert "no luck" in caught.value.output


@pytest.mark.parametrize(
    "line",
    [
        "import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/simple/x/')",
    ],
)
def test_a_build_has_no_network_not_even_loopback(tmp_path: Path, index: pykit.Index, line: str) -> None:
    backend = pykit.BACKEND + "\n" + line.format(port=index.url.rpartition(":")[2]) + "\n"
    found = pykit.service(tmp_path / "svc", index, files={"backend/tiny.py": backend})
    asked = len(index.asked)
    with pytest.raises(ResolveError, match="svc cannot be built"):
        pinned(found)
    assert len(index.asked) == asked


def test_a_build_sees_nothing_of_the_user(tmp_path: Path, index: pykit.Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "s3cret")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    check = (
        "\nimport os, stat\nassert 'MY_SECRET' not in os.environ\n"
        "assert os.environ['SOURCE_DATE_EPOCH'] == '315532800'\n"
        "assert os.environ['TZ'] == 'UTC' and os.environ['PYTHONHASHSEED'] == '0'\n"
        "assert not os.listdir(os.environ['HOME']) or 'cdaf' in os.environ['HOME']\n"
        "mask = os.umask(0); os.umask(mask); assert mask == 0o022\n"
        "assert {os.stat(f).st_mtime for f in ('pyproject.toml', 'src')} == {315532800}\n"
    )
    through(pykit.service(tmp_path / "svc", index, files={"backend/tiny.py": pykit.BACKEND + check}))


def test_credentials_of_the_lock_serve_and_go_nowhere(tmp_path: Path, index: pykit.Index, cache: Path) -> None:
    """A token in a URL of pyproject.toml and uv.lock is used, and stands in nothing that is kept or sealed."""
    path = pykit.wheel(index.folder, "private")
    secret, host = "s3cretT0ken", index.url.removeprefix("http://")
    import base64

    index.login = "Basic " + base64.b64encode(f"me:{secret}".encode()).decode()
    more = f'dependencies = ["private @ http://me:{secret}@{host}/files/{path.name}"]\n'
    found = pykit.service(tmp_path / "svc", index, more)
    lock = (tmp_path / "svc" / "uv.lock").read_text()
    if secret not in lock:
        (tmp_path / "svc" / "uv.lock").write_text(
            lock.replace(f"http://{host}/files", f"http://me:{secret}@{host}/files")
        )
    collection, planned = through(found)
    assert secret.encode() not in collection.lock.files["uv.lock"]
    assert secret.encode() not in plans.encode(planned.plans) + msgspec.json.encode(
        [a.dependency for a in collection.archives]
    )
    kept = [each for each in cache.rglob("*") if each.is_file() and secret.encode() in each.read_bytes()]
    assert kept == []
    private = next(each.dependency for each in collection.archives if each.dependency.name == "private")
    assert private.url == f"http://{host}/files/{path.name}"
    assert private.hash == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_index_credentials_by_name(tmp_path: Path, index: pykit.Index, monkeypatch: pytest.MonkeyPatch) -> None:
    pykit.wheel(index.folder, "private")
    files = pykit.package("svc", "1.4.0", 'dependencies = ["private"]')
    files["pyproject.toml"] += f'[[tool.uv.index]]\nname = "my-own"\nurl = "{index.url}/simple"\ndefault = true\n'
    found = pykit.service(tmp_path / "svc", index, files=files)
    pins = pinned(found)
    index.login = "Basic dTpzM2NyZXQ="
    assert "it wants other credentials" in refused(ResolveError, found, pins).message
    monkeypatch.setenv("UV_INDEX_MY_OWN_USERNAME", "u")
    monkeypatch.setenv("UV_INDEX_MY_OWN_PASSWORD", "s3cret")
    through(found, pins)


def test_checks_on_a_base_of_their_own_get_everything(tmp_path: Path, index: pykit.Index) -> None:
    for name in ("common", "tester"):
        pykit.wheel(index.folder, name)
    pykit.wheel(index.folder, "native", tag="cp313-cp313-manylinux_2_28_x86_64")
    pykit.wheel(index.folder, "native", tag="cp312-cp312-musllinux_1_2_x86_64")
    config = SMOKE.replace(', "linux/arm64"', "") + 'image = "python:3.12-alpine"\n'
    more = 'dependencies = ["common", "native"]\n[dependency-groups]\nsmoke = ["tester"]\n'
    found = pykit.service(tmp_path / "svc", index, more, config, {"smoke/test_it.py": ""})
    alpine = Facts(
        interpreter="/usr/local/bin/python3.12", interpreter_version="3.12.9", libc="musl", libc_version="1.2.5"
    )
    pins = pinned(found)
    other = pykit.pinned(alpine, "python:3.12-alpine", ("linux/amd64",))
    pins = msgspec.structs.replace(pins, bases=(*pins.bases, *other.bases))
    _, planned = through(found, pins)
    smoke = planned.plans.smoke[0]
    assert smoke.base is not None
    assert smoke.base.reference == "python:3.12-alpine"
    archives = {member for member in plans.members(smoke.layers) if member.startswith("deps/")}
    assert archives == {
        "deps/common-1.0-py3-none-any.whl",
        "deps/native-1.0-cp312-cp312-musllinux_1_2_x86_64.whl",
        "deps/svc-1.4.0-py3-none-any.whl",
        "deps/tester-1.0-py3-none-any.whl",
    }
    links = [entry for layer in smoke.layers for entry in layer.entries if isinstance(entry, plans.Link)]
    assert plans.Link("/app/.venv/bin/python", "/usr/local/bin/python3.12") in links
    image = {
        member for member in plans.members(planned.plans.images[0].layers) if "native" in member and "deps" in member
    }
    assert image == {"deps/native-1.0-cp313-cp313-manylinux_2_28_x86_64.whl"}


def test_a_user_that_the_base_has_otherwise(tmp_path: Path, index: pykit.Index) -> None:
    found = pykit.service(tmp_path / "svc", index)
    facts = msgspec.structs.replace(pykit.FACTS, passwd="app:x:1000:1000::/:/bin/sh\n")
    error = refused(ResolveError, found, msgspec.structs.replace(pykit.pinned(facts), builds=pinned(found).builds))
    assert "python:3.13-slim has a user app with id 1000, and the service's is app, 10001" in error.message


def test_packages_as_the_lock_holds_them_are_choices(tmp_path: Path, index: pykit.Index) -> None:
    found = pykit.service(tmp_path / "svc", index)
    lock = python.resolve(found, pykit.pinned())
    assert [type(each) for each in lock.packages] == [Choice]
    assert set(lock.files) == {"uv.lock"}
    assert set(lock.resolver) == {"uv"}
    assert python.identify(tmp_path / "svc") == ("svc", "1.4.0")
