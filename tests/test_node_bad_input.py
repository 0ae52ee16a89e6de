"""What Node's part refuses: each fault named, all of one input at once, with the way out."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdaf import progress
from cdaf.errors import CdafError, ProjectError, ResolveError
from cdaf.languages import node
from cdaf.projects import checking, pins, project
from tests import makers, nodekit
from tests.nodekit import Registry


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    with nodekit.serving() as found:
        monkeypatch.setenv("npm_config_registry", found.url)
        yield found


def refused(found: project.Project, kind: type[CdafError] = ProjectError) -> CdafError:
    with pytest.raises(CdafError) as told:
        nodekit.through(found)
    assert isinstance(told.value, kind), told.value
    assert told.value.hint
    return told.value


def relocked(found: project.Project, change: Callable[[dict[str, Any]], object]) -> project.Project:
    """The service with its lock changed by hand."""
    path = found.root / "package-lock.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))
    makers.commit(found.root)
    return project.read(found.root)


@pytest.fixture
def svc(tmp_path: Path, registry: Registry) -> project.Project:
    registry.add({"name": "one", "dependencies": {"two": "^1.0.0"}}, {"index.js": "1"})
    registry.add({"name": "two"}, {"index.js": "2"})
    registry.add({"name": "three"}, {"index.js": "3"})
    return nodekit.service(
        tmp_path / "svc", registry, {"dependencies": {"one": "^1.0.0"}, "devDependencies": {"three": "1"}}
    )


def test_no_lock(svc: project.Project) -> None:
    (svc.root / "package-lock.json").unlink()
    error = refused(svc)
    assert "no package-lock.json" in error.message
    assert "npm install --package-lock-only" in error.hint


@pytest.mark.parametrize("name", ["pnpm-lock.yaml", "yarn.lock"])
def test_locks_of_other_tools_are_recognised_and_refused(name: str, tmp_path: Path) -> None:
    files = {
        "package.json": '{"name": "svc", "version": "1.0.0"}',
        "cdaf.toml": nodekit.CONFIG,
        "server.js": "",
        name: "",
    }
    found = project.read(makers.repository(tmp_path / "svc", files))
    assert found.language == "node"
    error = refused(found)
    assert name in error.message
    assert "npm install --package-lock-only" in error.hint
    assert name in node.check(found)[0]


@pytest.mark.parametrize("version", [1, 4, "3", None, True])
def test_locks_of_unknown_versions(version: object, svc: project.Project) -> None:
    error = refused(relocked(svc, lambda lock: lock.update(lockfileVersion=version)))
    assert repr(version) in error.message
    assert "--lockfile-version=3" in error.hint


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"lockfileVersion": 3}', '{"lockfileVersion": 3, "packages": []}', "[" * 9999]
)
def test_what_is_no_lock(text: str, svc: project.Project) -> None:
    (svc.root / "package-lock.json").write_text(text)
    assert "package-lock.json" in refused(svc).message


def test_shrinkwrap_goes_before_the_lock(svc: project.Project) -> None:
    told = (svc.root / "package-lock.json").read_text()
    (svc.root / "npm-shrinkwrap.json").write_text(told)
    (svc.root / "package-lock.json").write_text("{}")
    makers.commit(svc.root)
    _, planned = nodekit.through(project.read(svc.root))
    assert planned.plans.images


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"dependencies": {"one": "^1.1.0"}},
            r"package.json has one \^1.1.0 in dependencies, and the lock has \^1.0.0",
        ),
        ({"dependencies": {}}, r"the lock has one \^1.0.0 in dependencies"),
        (
            {"dependencies": {"one": "^1.0.0", "four": "4"}},
            "package.json has four 4 in dependencies, and the lock has not",
        ),
        ({"devDependencies": {}}, "the lock has three 1 in devDependencies"),
        ({"optionalDependencies": {"one": "^1.0.0"}}, "has one .* in optionalDependencies, and the lock has not"),
        ({"peerDependencies": {"two": "1"}}, "package.json has two 1 in peerDependencies"),
        ({"workspaces": ["packages/*"]}, "the workspace packages/new is not in the lock"),
    ],
)
def test_lock_and_manifest_out_of_step(change: dict[str, Any], said: str, svc: project.Project) -> None:
    told = json.loads((svc.root / "package.json").read_text()) | change
    makers.write(svc.root, {"package.json": json.dumps(told), "packages/new/package.json": '{"name": "new"}'})
    makers.commit(svc.root)
    found = project.read(svc.root)
    error = refused(found)
    assert re.search(said, error.message)
    assert "out of step" in error.message
    assert re.search(said, "\n".join(node.check(found)))
    assert "npm install" in error.hint


def test_all_faults_of_a_stale_lock_are_told_at_once(svc: project.Project) -> None:
    told = json.loads((svc.root / "package.json").read_text()) | {"dependencies": {"four": "4", "five": "5"}}
    (svc.root / "package.json").write_text(json.dumps(told))
    makers.commit(svc.root)
    message = refused(project.read(svc.root)).message
    assert "3 faults" in message
    assert all(name in message for name in ("one", "four", "five"))


def test_a_lock_that_was_merged_badly(svc: project.Project) -> None:
    error = refused(relocked(svc, lambda lock: lock["packages"].pop("node_modules/two")))
    assert "two, which one needs, is not in the lock" in error.message


def test_npm_refuses_the_same_stale_lock(svc: project.Project, registry: Registry) -> None:
    told = json.loads((svc.root / "package.json").read_text()) | {
        "dependencies": {"one": "^1.0.0", "three": "1", "two": "1"}
    }
    (svc.root / "package.json").write_text(json.dumps(told | {"devDependencies": {}}))
    registry.add({"name": "four"})
    (svc.root / "package.json").write_text(json.dumps(told | {"dependencies": {"one": "^1.0.0", "four": "1"}}))
    makers.commit(svc.root)
    assert "in sync" in nodekit.npm("ci", cwd=svc.root, registry=registry.url, expect=1)
    refused(project.read(svc.root))


def test_every_entry_without_integrity_is_named(svc: project.Project) -> None:
    def strip(lock: dict[str, Any]) -> None:
        for entry in lock["packages"].values():
            entry.pop("integrity", None)

    error = refused(relocked(svc, strip), ResolveError)
    assert "one 1.0.0 has no integrity" in error.message
    assert "two 1.0.0 has no integrity" in error.message
    assert "three" not in error.message  # a development dependency, which nobody asks for


@pytest.mark.parametrize("value", ["sha512-AAAA", "md5-1B2M2Y8AsgTpgAmY7PhCfg==", "nonsense", "sha512-"])
def test_integrity_that_is_no_hash(value: str, svc: project.Project) -> None:
    error = refused(
        relocked(svc, lambda lock: lock["packages"]["node_modules/two"].update(integrity=value)), ResolveError
    )
    assert "two 1.0.0 has the integrity" in error.message


def test_other_bytes_than_locked_are_refused(svc: project.Project, registry: Registry) -> None:
    told, _ = registry.packages["two"]["1.0.0"]
    registry.packages["two"]["1.0.0"] = (told, nodekit.tarball(told, {"index.js": "evil"}))
    error = refused(svc, ResolveError)
    assert "hash mismatch for two 1.0.0" in error.message


def test_the_strongest_of_several_hashes_counts(svc: project.Project, registry: Registry) -> None:
    data = registry.packages["two"]["1.0.0"][1]
    both = f"sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA= {nodekit.integrity(data)}?option"
    collection, _ = nodekit.through(
        relocked(svc, lambda lock: lock["packages"]["node_modules/two"].update(integrity=both))
    )
    assert {each.dependency.name: each.dependency.hash for each in collection.archives}["two"].startswith("sha512:")  # type: ignore[union-attr]
    weak = nodekit.integrity(data, "sha1")
    collection, _ = nodekit.through(
        relocked(svc, lambda lock: lock["packages"]["node_modules/two"].update(integrity=weak))
    )
    assert {each.dependency.name: each.dependency.hash for each in collection.archives}["two"].startswith("sha1:")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "key",
    [
        "node_modules/../../etc",
        "node_modules/..",
        "node_modules/.",
        "node_modules/.bin",
        "node_modules/@x/..",
        "node_modules/@x/../../y",
        "node_modules/a/b",
        "node_modules/a\\..\\b",
        "node_modules/",
        "/node_modules/a",
        "/etc/node_modules/a",
        "packages/../../x",
        "packages//x",
        "node_modules/a/node_modules/../b",
        "node_modules/node_modules/a",
        "node_modules/a\u0000b",
        "node_modules/a\nb",
    ],
)
def test_paths_made_to_escape(key: str, svc: project.Project) -> None:
    error = refused(relocked(svc, lambda lock: lock["packages"].update({key: lock["packages"]["node_modules/two"]})))
    assert repr(key) in error.message or "is no path" in error.message


@pytest.mark.parametrize("version", ["../../x", "1.0.0/../../y", "", "1.0.0\n", "a b", "-rf"])
def test_versions_made_to_escape(version: str, svc: project.Project) -> None:
    told = relocked(svc, lambda lock: lock["packages"]["node_modules/two"].update(version=version))
    assert "two" in refused(told).message


@pytest.mark.parametrize("name", ["../x", "a/b", ".bin", "@x/..", "a\\b"])
def test_names_made_to_escape(name: str, svc: project.Project) -> None:
    assert (
        repr(name)
        in refused(relocked(svc, lambda lock: lock["packages"]["node_modules/two"].update(name=name))).message
    )


def test_paths_that_differ_in_letter_case_alone(svc: project.Project) -> None:
    change = relocked(
        svc, lambda lock: lock["packages"].update({"node_modules/TWO": lock["packages"]["node_modules/two"]})
    )
    assert "differ in letter case alone" in refused(change).message


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "a//b", "./../x", "a\nb"])
def test_tarballs_made_to_escape(name: str, tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "bad"}, {name: "x"})
    found = nodekit.service(tmp_path / "bad", registry, {"dependencies": {"bad": "1"}})
    error = refused(found, ResolveError)
    assert "bad 1.0.0 is not a tarball that can be installed" in error.message


def test_a_tarball_that_is_none(tmp_path: Path, registry: Registry) -> None:
    told = {"name": "bad", "version": "1.0.0"}
    registry.packages["bad"] = {"1.0.0": (told, b"no tarball at all")}
    found = nodekit.service(tmp_path / "bad", registry, {"dependencies": {"bad": "1"}})
    assert "bad 1.0.0" in refused(found, ResolveError).message


def test_a_file_where_others_want_a_folder(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "bad"}, {"a": "file", "a/b": "below"})
    found = nodekit.service(tmp_path / "bad", registry, {"dependencies": {"bad": "1"}})
    assert "a is a file, and a/b stands below it" in refused(found, ResolveError).message


def test_a_file_where_programs_are_linked(tmp_path: Path, registry: Registry) -> None:
    own = {
        "node_modules/x/package.json": '{"name": "x", "version": "1.0.0", "bin": {"go": "go.js"}}',
        "node_modules/x/go.js": "",
    }
    registry.add({"name": "x"})
    told = {"name": "bad", "dependencies": {"x": "1"}, "bundleDependencies": ["x"]}
    registry.add(told, {**own, "node_modules/.bin": "a file"})
    found = nodekit.service(tmp_path / "bad", registry, {"dependencies": {"bad": "1"}})
    said = "bad 1.0.0 has a file node_modules/.bin, and the program go is linked below it"
    assert said in refused(found, ResolveError).message
    assert "ENOTDIR" in nodekit.npm("ci", cwd=found.root, registry=registry.url, expect=236)


def test_a_platform_without_a_build(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "fast", "optionalDependencies": {"fast-linux-x64": "1", "fast-darwin": "1"}})
    registry.add({"name": "fast-linux-x64", "os": ["linux"], "cpu": ["x64"]}, {"f.node": ""})
    registry.add({"name": "fast-darwin", "os": ["darwin"], "cpu": ["x64"]}, {"f.node": ""})
    registry.add({"name": "watcher", "optionalDependencies": {"fast-darwin": "1"}})
    found = nodekit.service(tmp_path / "svc", registry, {"dependencies": {"fast": "1", "watcher": "1"}})
    error = refused(found, ResolveError)
    assert "linux/arm64: fast 1.0.0 has none of fast-linux-x64" in error.message
    assert "watcher" not in error.message
    assert "linux/amd64" not in error.message


def test_builds_that_npm_forgot_in_the_lock(tmp_path: Path, registry: Registry) -> None:
    """What npm does when node_modules of another platform lies beside it."""
    for cpu in ("x64", "arm64"):
        registry.add({"name": f"fast-linux-{cpu}", "os": ["linux"], "cpu": [cpu]}, {"f.node": ""})
    registry.add({"name": "fast", "optionalDependencies": {"fast-linux-x64": "1", "fast-linux-arm64": "1"}})
    found = nodekit.service(tmp_path / "svc", registry, {"dependencies": {"fast": "1"}})
    error = refused(relocked(found, lambda lock: lock["packages"].pop("node_modules/fast-linux-arm64")), ResolveError)
    assert "linux/arm64: fast 1.0.0 has none of" in error.message
    assert "without node_modules" in error.hint


def test_a_package_that_is_for_other_platforms(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "only-x64", "cpu": ["x64"]})
    found = nodekit.service(tmp_path / "svc", registry, {"dependencies": {"only-x64": "1"}})
    assert "linux/arm64: only-x64 1.0.0 is for cpu x64" in refused(found, ResolveError).message


def test_settings_that_mean_nothing_here(svc: project.Project) -> None:
    config = nodekit.CONFIG.replace("port = 3000", 'port = 3000\nextras = ["x"]') + '[smoke]\ngroup = "tests"\n'
    (svc.root / "cdaf.toml").write_text(config)
    makers.commit(svc.root)
    error = refused(project.read(svc.root))
    assert "service.extras" in error.message
    assert "smoke.group: 'tests'" in error.message


def test_a_base_without_node(svc: project.Project) -> None:
    facts = msgspec.structs.replace(nodekit.FACTS, interpreter="", interpreter_version="")
    with pytest.raises(ResolveError, match="has no node"):
        nodekit.through(svc, nodekit.pinned(facts))


def test_another_node_than_the_service_asks_for(tmp_path: Path, registry: Registry) -> None:
    found = nodekit.service(tmp_path / "svc", registry, {"engines": {"node": ">=24 || ^20.1"}})
    error = refused(found, ResolveError)
    assert error.message == f"svc: package.json asks for Node >=24 || ^20.1, and {nodekit.BASE} has 22.23.3"
    assert "image.base" in error.hint
    newer = nodekit.pinned(msgspec.structs.replace(nodekit.FACTS, interpreter_version="24.1.0"))
    nodekit.through(found, newer)
    pins.write(nodekit.pinned(), found.root / pins.NAME)
    with pytest.raises(ResolveError, match="asks for Node >=24"):
        checking.check(found.root)
    pins.write(newer, found.root / pins.NAME)
    checking.check(found.root)


@pytest.mark.parametrize("engines", [{"node": ">=22"}, {"node": "lts/*"}, {"npm": ">=99"}, {"node": 99}, []])
def test_words_on_node_that_refuse_nothing(engines: object, tmp_path: Path) -> None:
    lock = {"lockfileVersion": 3, "packages": {"": {"name": "svc", "version": "1.4.0"}}}
    files = {"package-lock.json": json.dumps(lock)}
    nodekit.through(nodekit.service(tmp_path / "svc", None, {"engines": engines}, files))


def test_packages_for_another_node_are_told_in_one_line(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        registry.add({"name": f"new{number}", "engines": {"node": ">=99"}})
    registry.add({"name": "old", "engines": {"node": ">=4"}})
    wanted = {"old": "1", **{f"new{number}": "1" for number in range(10)}}
    found = nodekit.service(tmp_path / "svc", registry, {"dependencies": wanted})
    heard: list[str] = []
    monkeypatch.setattr(progress, "note", heard.append)
    nodekit.through(found)
    named = ", ".join(f"new{number} 1.0.0 (>=99)" for number in range(8))
    assert heard == [f"the base has Node 22.23.3, and another is asked for by {named} and 2 more"]


@pytest.mark.slow
def test_twenty_thousand_small_files(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "wide"}, {f"d{number % 100}/f{number}.js": "" for number in range(20_000)})
    config = nodekit.CONFIG.replace(', "linux/arm64"', "")
    found = nodekit.service(tmp_path / "svc", registry, {"dependencies": {"wide": "1"}}, config=config)
    laid = nodekit.laid(found, *nodekit.through(found))
    assert sum(path.startswith("/app/node_modules/wide/") for path in laid) == 20_001
