"""What is packaged stays as it was while it is packaged, or nothing is sealed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdaf import flow, languages
from cdaf.bundles import bundle
from cdaf.errors import ProjectError
from cdaf.languages import docker, node, php, python, ruby
from cdaf.languages._shared import container, tree
from cdaf.projects import locking, pins, project, steady
from tests import dockerkit, makers, nodekit, phpkit, pykit, rubykit
from tests.test_node_scripts import ONE, real

TOML = '[service]\nstart = ["run"]\nversion = "1.0.0"\nlanguage = "python"\ninclude = ["app/**"]\n'
FILES = {"cdaf.toml": TOML, "uv.lock": "version = 1\n", "app/main.py": "x = 1\n", "lib/a.py": "", "notes": ""}
SCRATCH = '[service]\nstart = ["svc"]\ninclude = ["app/**"]\n[image]\nbase = "scratch"\n'
LOCKED = pins.Pins(bases=(pins.Base(reference="scratch", platform="linux/amd64", digest="", facts=pykit.FACTS),))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def seen(root: Path) -> steady.Seen:
    """A service with a folder that is built, right before it is collected."""
    found = project.read(root, environ={})
    return project.settle(found, [root / "uv.lock", root / "lib"]).seen


def refused(of: steady.Seen) -> str:
    with pytest.raises(ProjectError) as raised:
        steady.demand(of)
    assert raised.value.hint == "package again when nothing changes them"
    return raised.value.message


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return makers.repository(tmp_path / "service", FILES)


def append(path: Path) -> None:
    path.write_text(path.read_text() + "# NOT COMMITTED\n")


def same_size_and_time(path: Path) -> None:
    told = path.stat()
    path.write_text("y" + path.read_text()[1:])
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


def and_back(path: Path) -> None:
    told = path.read_text()
    same_size_and_time(path)
    path.write_text(told)


def replaced(path: Path) -> None:
    path.with_suffix(".new").write_text("z = 1\n")
    path.with_suffix(".new").replace(path)


def linked(path: Path) -> None:
    path.rename(path.with_suffix(".old"))
    path.symlink_to(path.with_suffix(".old").name)


@pytest.mark.parametrize("change", [append, same_size_and_time, and_back, replaced, linked, Path.unlink])
def test_a_file_that_changes(root: Path, change: Callable[[Path], None]) -> None:
    of = seen(root)
    steady.demand(of)
    change(root / "app" / "main.py")
    assert refused(of) == "files changed while they were packaged: app/main.py"


@pytest.mark.parametrize("name", ["cdaf.toml", "uv.lock", "lib/a.py"])
def test_settings_locks_and_what_is_built_count_as_well(root: Path, name: str) -> None:
    found = project.read(root, environ={})
    append(root / name)
    assert refused(project.settle(found, [root / "uv.lock", root / "lib"]).seen).endswith(f": {name}")


def test_a_second_change_within_one_step_of_the_clock_is_none_that_slips_through(root: Path) -> None:
    path = root / "app" / "main.py"
    for number in range(20):
        path.write_text(f"x ={number % 10}\n")
        of = seen(root)
        path.write_text(f"y ={number % 10}\n")
        assert refused(of).endswith(": app/main.py")


def test_a_few_are_named_and_the_others_counted(root: Path) -> None:
    makers.write(root, {f"app/{number}.py": "" for number in range(8)})
    makers.commit(root)
    of = seen(root)
    for number in range(8):
        append(root / f"app/{number}.py")
    names = ", ".join(f"app/{number}.py" for number in range(5))
    assert refused(of) == f"files changed while they were packaged: {names} and 3 more"


def test_what_does_not_enter_may_change(root: Path) -> None:
    of = seen(root)
    append(root / "notes")
    makers.write(root, {"app/new.py": "", "lib/new.py": "", "dist/x.cdaf": ""})
    makers.git(root, "checkout", "-q", "-b", "other")
    steady.demand(of)


@pytest.mark.parametrize("words", [["add", "lib"], ["rm", "-q", "--cached", "lib/a.py"]])
def test_what_git_tracks_of_a_folder_that_is_built(root: Path, words: list[str]) -> None:
    makers.write(root, {"lib/new.py": ""})
    of = seen(root)
    makers.git(root, *words)
    assert refused(of) == f"files changed while they were packaged: lib/{'new' if words[0] == 'add' else 'a'}.py"


@pytest.mark.parametrize("early", [False, True])
def test_a_commit_in_the_midst_of_it(root: Path, early: bool) -> None:
    found = project.read(root, environ={})
    if not early:
        found = project.settle(found, [])
    makers.git(root, "commit", "-q", "--allow-empty", "-m", "more")
    told = "another commit was made or checked out while this one was packaged: HEAD was "
    with pytest.raises(ProjectError) as raised:
        project.settle(found, []) if early else steady.demand(found.seen)
    assert raised.value.message.startswith(told + (found.source.commit or "")[:12])
    if not early:
        append(root / "app/main.py")
        makers.commit(root)
        assert refused(found.seen).startswith("files changed while they were packaged: app/main.py; HEAD was ")


def test_a_dirty_snapshot_is_one_of_a_moment_too(root: Path) -> None:
    append(root / "app/main.py")
    makers.write(root, {"cdaf.lock": "format = 1\n"})
    found = project.read(root, environ={})
    found = project.settle(found, [root / "cdaf.lock"])
    assert found.source.dirty
    steady.demand(found.seen)
    append(root / "app/main.py")
    append(root / "cdaf.lock")
    assert refused(found.seen) == "files changed while they were packaged: app/main.py, cdaf.lock"


def test_a_lock_that_is_written_first_is_no_change(root: Path) -> None:
    makers.write(root, {"cdaf.lock": "format = 1\n"})
    makers.commit(root)
    (root / "cdaf.lock").unlink()
    found = project.read(root, environ={})
    makers.write(root, {"cdaf.lock": "format = 1\n"})
    steady.demand(project.settle(found, [root / "cdaf.lock"]).seen)


def test_a_link_that_leads_elsewhere_makes_a_tree_dirty(root: Path) -> None:
    makers.write(root, {"app/other.py": ""})
    (root / "app/now.py").symlink_to("main.py")
    makers.commit(root)
    assert not project.settle(project.read(root, environ={}), []).source.dirty
    (root / "app/now.py").unlink()
    (root / "app/now.py").symlink_to("other.py")
    assert project.settle(project.read(root, environ={}), []).source.dirty


def test_a_folder_in_a_submodule(root: Path, tmp_path: Path) -> None:
    makers.repository(tmp_path / "part", {"lib/b.py": ""})
    makers.git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "part"), "part")
    makers.commit(root)
    found = project.settle(project.read(root, environ={}), [root / "part" / "lib"])
    assert not found.source.dirty
    append(root / "part" / "lib" / "b.py")
    assert refused(found.seen).endswith(": part")
    assert project.settle(project.read(root, environ={}), [root / "part" / "lib"]).source.dirty


def of_python(folder: Path) -> tuple[project.Project, pins.Pins]:
    return pykit.service(folder, None, config=SCRATCH, files={"app/x": ""}), LOCKED


def of_node(folder: Path) -> tuple[project.Project, pins.Pins]:
    entries: dict[str, dict[str, object]] = {
        "": {"name": "svc", "version": "1.4.0", "dependencies": {"src": "file:src"}},
        "src": {"name": "src", "version": "1.0.0"},
        "node_modules/src": {"resolved": "src", "link": True},
    }
    lock = {"name": "svc", "version": "1.4.0", "lockfileVersion": 3, "requires": True, "packages": entries}
    files = {"package-lock.json": json.dumps(lock), "src/package.json": '{"name":"src","version":"1.0.0"}', "src/a": ""}
    return nodekit.service(folder, None, {"dependencies": {"src": "file:src"}}, files, ONE), nodekit.pinned()


def of_php(folder: Path) -> tuple[project.Project, pins.Pins]:
    found = phpkit.service(folder, [], config=f'{phpkit.CONFIG}[build]\nrun = [["php", "src/a"]]\noutputs = ["b"]\n')
    return found, phpkit.pinned(found)


def of_ruby(folder: Path) -> tuple[project.Project, pins.Pins]:
    path = "PATH\n  remote: src\n  specs:\n    own (1.0)\n\n"
    locked = rubykit.lock({}, ["own!"], before=path)
    spec = "Gem::Specification.new { |s| s.name = 'own'; s.version = '1.0'; s.files = [] }\n"
    gemfile = f'source "{rubykit.INDEX}"\ngem "own", path: "src"\n'
    return rubykit.service(folder, gemfile, locked, {"src/own.gemspec": spec, "src/a": ""}), rubykit.pinned()


def of_docker(folder: Path) -> tuple[project.Project, pins.Pins]:
    return project.read(
        dockerkit.service(folder, 'FROM scratch\nCOPY src /src\nCMD ["/src/a"]\n', files={"src/a": ""}), environ={}
    ), pins.Pins()


@pytest.mark.parametrize(
    ("made", "language", "name"),
    [
        (of_python, python, "src/svc/__init__.py"),
        (of_python, python, "uv.lock"),
        (of_node, node, "src/a"),
        (of_node, node, "package-lock.json"),
        (of_php, php, "src/App.php"),
        (of_php, php, "composer.lock"),
        (of_ruby, ruby, "src/a"),
        (of_ruby, ruby, "Gemfile.lock"),
        (of_docker, docker, "src/a"),
        (of_docker, docker, "Dockerfile"),
    ],
)
def test_each_language_says_what_enters(
    tmp_path: Path,
    made: Callable[[Path], tuple[project.Project, pins.Pins]],
    language: languages.Language,
    name: str,
) -> None:
    found, pinned = made(tmp_path / "svc")
    lock = language.resolve(found, pinned)
    of = project.settle(found, (locking.path(found), *lock.inputs)).seen
    steady.demand(of)
    append(found.root / name)
    assert refused(of) == f"files changed while they were packaged: {name}"


def service(folder: Path, more: str = "") -> Path:
    """A Python service that is packaged without network, whose build may do `more`."""
    files = {"app/x": "as it was\n", "backend/tiny.py": f"{pykit.BACKEND}\n{more}\n"}
    pykit.service(folder, None, config=SCRATCH, files=files)
    pins.write(LOCKED.__class__(bases=LOCKED.bases, builds=(pins.Build(key="svc", declared=()),)), folder / pins.NAME)
    pykit.commit(folder)
    return folder


@pytest.mark.parametrize("dirty", [False, True])
@pytest.mark.parametrize("stage", ["collect", "plan"])
@pytest.mark.parametrize("change", [append, and_back, Path.unlink, "commit"])
def test_nothing_is_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, change: Any, dirty: bool
) -> None:
    root = service(tmp_path / "svc")
    act = getattr(python, stage)

    def changing(*given: Any) -> Any:
        made = act(*given)
        append(root / "app/x") if change == "commit" else change(root / "app/x")
        if change == "commit":
            makers.commit(root)
        return made

    if dirty:
        append(root / "app/x")
    with monkeypatch.context() as patch:
        patch.setattr(python, stage, changing)
        with pytest.raises(ProjectError, match=r"files changed while they were packaged: app/x") as raised:
            flow.package(root, tmp_path / "out", release=not dirty)
    assert raised.value.exit_code == 3
    assert not list((tmp_path / "out").glob("*")), "no bundle, and none in the making"
    makers.git(root, "checkout", "-q", "--", "app/x")
    made = flow.package(root, tmp_path / "out", release=True)
    assert bundle.data(made, "app/app/x") == (root / "app/x").read_bytes()


def test_a_build_that_writes_to_what_it_is_built_from(tmp_path: Path) -> None:
    victim = tmp_path / "svc" / "src" / "svc" / "__init__.py"
    root = service(tmp_path / "svc", f"open({str(victim)!r}, 'a').write('more = 1')")
    with pytest.raises(ProjectError, match=r"while they were packaged: src/svc/__init__\.py"):
        flow.package(root, tmp_path / "out", release=True)


def test_a_file_that_changes_while_it_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = service(tmp_path / "svc")
    write = bundle._write

    def late(*given: Any) -> Any:
        made = write(*given)
        append(root / "uv.lock")
        return made

    monkeypatch.setattr(bundle, "_write", late)
    with pytest.raises(ProjectError, match=r"while they were packaged: uv\.lock"):
        flow.package(root, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


def test_bytes_of_a_tree_are_those_that_were_read_first(tmp_path: Path) -> None:
    makers.write(tmp_path, {"a": "one", "b": "two"})
    leaves = tree.read([tree.Leaf("a", tmp_path / "a"), tree.Leaf("b", tmp_path / "b")])
    known = tree.digest(leaves)
    (tmp_path / "a").write_text("ONE")
    assert tree.digest(leaves) == known
    with pytest.raises(ProjectError, match="changed while they were packaged"):
        tree.data(leaves[0])
    assert tree.data(leaves[1]) == b"two"


@pytest.mark.docker
@pytest.mark.parametrize("moment", ["before", "after"])
def test_commands_of_a_build_and_what_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whether the change comes before the files are sent or after it, what is kept for the clean files is theirs."""
    build = '[build]\nrun = [["cp", "lib/a", "made"]]\noutputs = ["made"]\n'
    lock = {"name": "svc", "version": "1.4.0", "lockfileVersion": 3, "requires": True}
    lock["packages"] = {"": {"name": "svc", "version": "1.4.0"}}
    files = {"package-lock.json": json.dumps(lock), "lib/a": "clean\n"}
    found = nodekit.service(tmp_path / "svc", None, {}, files, ONE + build)
    pins.write(real(), found.root / pins.NAME)
    makers.commit(found.root)
    run, victim = container.run, found.root / "lib" / "a"

    def changing(*given: Any, **named: Any) -> Any:
        if moment == "before":
            append(victim)
        ran = run(*given, **named)
        if moment == "after":
            append(victim)
        return ran

    with monkeypatch.context() as patch:
        patch.setattr(container, "run", changing)
        with pytest.raises(ProjectError, match=r"files changed while they were packaged: lib/a"):
            flow.package(found.root, tmp_path / "out", locked=True, release=True)
    makers.git(found.root, "checkout", "-q", "--", "lib/a")
    made = flow.package(found.root, tmp_path / "out", locked=True, release=True)
    assert bundle.data(made, "generated/build/made") == b"clean\n"
