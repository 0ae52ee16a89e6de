"""The tree that cdaf lays out beside the one that the real npm installs from the same lock."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdaf.projects import project
from tests import acceptance, makers, nodekit
from tests.nodekit import Registry, Tree
from tools import npm


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    with nodekit.serving() as found:
        monkeypatch.setenv("npm_config_registry", found.url)
        yield found


def ours(found: project.Project, platform: str = nodekit.BOTH[0]) -> Tree:
    """The image's modules, as if its /app were npm's folder."""
    laid = nodekit.laid(found, *nodekit.through(found), platform)
    return {path.removeprefix("/app"): told for path, told in laid.items() if "/node_modules/" in path}


@pytest.mark.slow
@pytest.mark.parametrize("platform", nodekit.BOTH)
def test_the_example_s_tree_is_npm_s(platform: str, tmp_path: Path) -> None:
    root = acceptance.example("catalog", tmp_path / "catalog")
    config = (root / "cdaf.toml").read_text()
    build, image = config.index("[build]"), config.index("[image]")
    without = "".join(line for line in config[image:].splitlines(True) if not line.startswith("exclude"))
    (root / "cdaf.toml").write_text(config[:build] + without)
    makers.commit(root)
    found = project.read(root)
    theirs = nodekit.installed(root, npm.registry(), platform)
    assert len(theirs) > 1000
    assert ours(found, platform) == theirs


def odd(registry: Registry) -> None:
    """Packages with everything that npm does to files."""
    registry.add({"name": "plain", "version": "1.0.0"}, {"index.js": "1"})
    registry.add({"name": "plain", "version": "2.0.0"}, {"index.js": "2"})
    registry.add({"name": "old", "dependencies": {"plain": "^1.0.0"}}, {"index.js": ""})
    registry.add(
        {"name": "@scope/tool", "bin": "./cli.js", "dependencies": {"plain": "2"}},
        {"cli.js": "#!/usr/bin/env node\r\n1;\r\n"},
    )
    registry.add(
        {
            "name": "many",
            "bin": {"one": "bin/one.js", "../two": "/bin/two.js", "gone": "not/there.js", "sub/x": "y.js"},
        },
        {"bin/one.js": "#!/bin/sh\n", "bin/two.js": "#!/bin/sh\n", "y.js": ""},
        executable=["bin/one.js"],
    )
    registry.add({"name": "folders", "directories": {"bin": "./programs"}}, {"programs/p": "p", "programs/q": "q"})
    registry.add({"name": "rival", "bin": {"one": "mine.js"}}, {"mine.js": "#!/bin/sh\n"})
    registry.add({"name": "ignoring"}, {".gitignore": "a", "sub/.gitignore": "b", "sub/.npmignore": "c", "x": "d"})
    registry.add({"name": "linking"}, {"real": "r"}, links={"alias": "real"})
    registry.add({"name": "twice"}, {"a.js": "first"}, again=[("a.js", "second")])
    registry.add({"name": "elsewhere"}, {"lib/x.js": "x", "run": "y"}, top="elsewhere-1.0.0", executable=["run"])
    registry.add({"name": "JSONthing", "bin": {"j": "j.js"}}, {"j.js": "1", "README": "a", "readme": "b"})
    registry.add(
        {"name": "bundler", "bundleDependencies": ["inner"], "dependencies": {"inner": "1.0.0"}},
        {
            "node_modules/inner/package.json": '{"name": "inner", "version": "1.0.0", "bin": {"inner": "run.js"}}',
            "node_modules/inner/run.js": "#!/bin/sh\n",
        },
    )
    registry.add({"name": "inner", "bin": {"inner": "run.js"}}, {"run.js": "#!/bin/sh\n"})
    registry.add(
        {
            "name": "host",
            "peerDependencies": {"guest": "1", "lax": "1"},
            "peerDependenciesMeta": {"lax": {"optional": True}},
        }
    )
    registry.add({"name": "guest"}, {"g": ""})
    registry.add({"name": "lax"}, {"l": ""})
    registry.add({"name": "developer", "dependencies": {"helper": "1"}}, {"d": ""})
    registry.add({"name": "helper"}, {"h": ""})


ODD = {
    "dependencies": {
        **dict.fromkeys(["old", "@scope/tool", "many", "folders", "rival", "ignoring", "linking", "twice"], "1"),
        **dict.fromkeys(["elsewhere", "JSONthing", "bundler", "host"], "1"),
        "again": "npm:plain@1.0.0",
    },
    "devDependencies": {"developer": "1", "lax": "1"},
}


def test_everything_that_npm_does_to_files_is_done(tmp_path: Path, registry: Registry) -> None:
    odd(registry)
    found = nodekit.service(tmp_path / "svc", registry, ODD)
    theirs = nodekit.installed(tmp_path / "svc", registry.url)
    assert "/node_modules/.bin/inner" not in theirs
    assert theirs["/node_modules/again/index.js"] != theirs["/node_modules/plain/index.js"]
    assert "/node_modules/lax/l" in theirs or "/node_modules/helper/h" not in theirs
    assert ours(found) == theirs


def test_what_a_tarball_has_in_the_way_of_others_goes(tmp_path: Path, registry: Registry) -> None:
    own = {
        "node_modules/x/package.json": '{"name": "x", "version": "1.0.0", "bin": {"go": "go.js"}}',
        "node_modules/x/go.js": "",
    }
    registry.add({"name": "x"})
    bundling = {"name": "bundling", "dependencies": {"x": "1"}, "bundleDependencies": ["x"]}
    registry.add(bundling, {**own, "node_modules/.bin/go": "no link", "node_modules/.bin/other": "stays"})
    registry.add({"name": "y"})
    registry.add({"name": "y", "version": "2.0.0"})
    registry.add({"name": "odd", "dependencies": {"y": "1"}}, {"node_modules": "a file"})
    found = nodekit.service(tmp_path / "svc", registry, {"dependencies": {"bundling": "1", "odd": "1", "y": "2"}})
    theirs = nodekit.installed(tmp_path / "svc", registry.url)
    assert theirs["/node_modules/bundling/node_modules/.bin/go"] == ("link", "../x/go.js")
    assert ours(found) == theirs


def native(registry: Registry) -> None:
    """Packages for some platforms, and what hangs on them."""
    for cpu in ("x64", "arm64"):
        for libc in ("glibc", "musl"):
            told = {"name": f"native-linux-{cpu}-{libc}", "os": ["linux"], "cpu": [cpu], "libc": [libc]}
            registry.add(told, {"lib.node": f"{cpu} {libc}"})
    registry.add({"name": "native-darwin", "os": ["darwin"], "cpu": ["x64"], "dependencies": {"only-there": "1"}})
    registry.add({"name": "only-there", "dependencies": {"shared": "1"}})
    registry.add({"name": "shared"})
    registry.add({"name": "not-linux", "os": ["!linux"]})
    registry.add({"name": "not-arm", "cpu": ["!arm64"]})
    registry.add({"name": "newest", "engines": {"node": ">=99"}})
    listed = [f"native-linux-{cpu}-{libc}" for cpu in ("x64", "arm64") for libc in ("glibc", "musl")]
    registry.add({"name": "native", "optionalDependencies": dict.fromkeys([*listed, "native-darwin"], "1")})
    registry.add({"name": "needy", "dependencies": {"not-linux": "1", "third": "1"}})
    registry.add({"name": "third"})


NATIVE = {
    "dependencies": {"native": "1", "shared": "1"},
    "optionalDependencies": {"needy": "1", "newest": "1", "not-arm": "1"},
}


@pytest.mark.parametrize("platform", nodekit.BOTH)
@pytest.mark.parametrize("libc", ["glibc", "musl"])
def test_optional_packages_are_those_of_the_target(
    platform: str, libc: str, tmp_path: Path, registry: Registry
) -> None:
    import msgspec

    native(registry)
    found = nodekit.service(tmp_path / "svc", registry, NATIVE)
    facts = msgspec.structs.replace(nodekit.FACTS, libc=libc)
    laid = nodekit.laid(found, *nodekit.through(found, nodekit.pinned(facts)), platform)
    mine = {path.removeprefix("/app"): told for path, told in laid.items() if "/node_modules/" in path}
    assert mine == nodekit.installed(tmp_path / "svc", registry.url, platform, libc=libc)
    cpu = {"linux/amd64": "x64", "linux/arm64": "arm64"}[platform]
    assert [path for path in mine if path.endswith(".node")] == [f"/node_modules/native-linux-{cpu}-{libc}/lib.node"]


def test_locks_of_version_2_are_the_same(tmp_path: Path, registry: Registry) -> None:
    odd(registry)
    found = nodekit.service(tmp_path / "svc", registry, ODD)
    third = ours(found)
    nodekit.npm("install", "--package-lock-only", "--lockfile-version=2", cwd=found.root, registry=registry.url)
    makers.commit(found.root)
    told = json.loads((found.root / "package-lock.json").read_text())
    assert told["lockfileVersion"] == 2
    assert "dependencies" in told
    assert ours(project.read(found.root)) == third


def test_folders_that_are_installed_as_copies(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "plain"}, {"index.js": ""})
    told = {"name": "copied", "version": "3.0.0", "dependencies": {"plain": "1"}, "bin": "c.js"}
    files = {".npmrc": "install-links=true\n", "lib/package.json": json.dumps(told), "lib/c.js": "#!/bin/sh\n"}
    found = nodekit.service(tmp_path / "svc", registry, {"dependencies": {"copied": "file:lib"}}, files)
    lock = json.loads((found.root / "package-lock.json").read_text())
    assert "link" not in lock["packages"]["node_modules/copied"]
    assert ours(found) == nodekit.installed(found.root, registry.url)


def test_workspaces_and_folders_stand_where_npm_links_to_them(tmp_path: Path, registry: Registry) -> None:
    odd(registry)
    members = {
        "packages/lib/package.json": json.dumps(
            {"name": "@own/lib", "version": "0.1.0", "bin": "cli.js", "dependencies": {"plain": "1"}}
        ),
        "packages/lib/cli.js": "#!/usr/bin/env node\n",
        "packages/lib/.gitignore": "dist\n",
        "vendor/local/package.json": json.dumps({"name": "local", "version": "3.0.0", "dependencies": {"guest": "1"}}),
    }
    manifest = {"workspaces": ["packages/*"], "dependencies": {"local": "file:vendor/local", "plain": "2"}}
    # What the service takes in itself has one owner all the same.
    config = nodekit.CONFIG.replace('"server.js"]', '"server.js", "packages/lib/cli.js"]')
    found = nodekit.service(tmp_path / "svc", registry, manifest, members, config)
    laid = nodekit.laid(found, *nodekit.through(found))
    theirs = nodekit.installed(tmp_path / "svc", registry.url)
    assert {path.removeprefix("/app"): told for path, told in laid.items() if "/node_modules/" in path} == theirs
    assert laid["/app/packages/lib/package.json"][0] == "file"
    assert laid["/app/packages/lib/.gitignore"][0] == "file"
    assert laid["/app/node_modules/@own/lib"] == ("link", "../../packages/lib")
    assert "/app/vendor/local/package.json" in laid
