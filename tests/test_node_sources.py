"""Where Node's packages come from: registries and who we are there, files, folders, commits, workspaces."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdaf.errors import CdafError, ProjectError, ResolveError
from cdaf.languages._node import npmrc, pack
from cdaf.languages._node.npmrc import Config
from cdaf.projects import project
from tests import makers, nodekit
from tests.nodekit import Registry


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodekit.programs()  # from the machine's own registry, before it has another home
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY", "NPM_CONFIG_USERCONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with nodekit.serving() as found:
        yield found


OWN = {"cdaf.toml": nodekit.CONFIG, "server.js": "1;\n"}


def home(tmp_path: Path, text: str) -> None:
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / ".npmrc").write_text(text)


def test_a_lock_without_addresses_is_served_by_the_configured_registry(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "@scope/one"}, {"index.js": ""})
    registry.add({"name": "two"}, {"index.js": ""})
    told = {"dependencies": {"@scope/one": "1", "two": "1"}}
    root = tmp_path / "svc"
    nodekit.prepare(root, told, OWN)
    lock = nodekit.lock(root, registry.url, {"npm_config_omit_lockfile_registry_resolved": "true"})
    assert not any("resolved" in entry for entry in lock["packages"].values())
    makers.repository(root, {})
    home(tmp_path, f"registry={registry.url}\n")
    collection, _ = nodekit.through(project.read(root))
    assert [each.dependency.url for each in collection.archives] == [None, None]
    assert [each.dependency.purl for each in collection.archives] == [
        "pkg:npm/%40scope/one@1.0.0",
        "pkg:npm/two@1.0.0",
    ]


def test_an_address_of_the_public_registry_stands_for_the_configured_one(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "one"}, {"index.js": ""})
    root = tmp_path / "svc"
    nodekit.service(root, registry, {"dependencies": {"one": "1"}})
    path = root / "package-lock.json"
    path.write_text(path.read_text().replace(registry.url, npmrc.PUBLIC))
    makers.commit(root)
    home(tmp_path, f"registry = {registry.url}\n")
    collection, _ = nodekit.through(project.read(root))
    # What is sealed is what the lock says, so that no machine's mirror is in the bundle.
    assert collection.archives[0].dependency.url == f"{npmrc.PUBLIC}one/-/one-1.0.0.tgz"


@pytest.mark.parametrize(
    ("settings", "resolved", "url"),
    [
        ({}, "https://other.example/a.tgz", "https://other.example/a.tgz"),
        ({"registry": "https://m.example/npm"}, f"{npmrc.PUBLIC}a/-/a-1.tgz", "https://m.example/npm/a/-/a-1.tgz"),
        ({"registry": "https://m.example/"}, "https://other.example/a.tgz", "https://other.example/a.tgz"),
        (
            {"registry": "https://m.example/", "replace-registry-host": "always"},
            "https://other.example/a.tgz",
            "https://m.example/a.tgz",
        ),
        (
            {"registry": "https://m.example/", "replace-registry-host": "never"},
            f"{npmrc.PUBLIC}a/-/a-1.tgz",
            f"{npmrc.PUBLIC}a/-/a-1.tgz",
        ),
        (
            {"registry": "https://m.example/", "replace-registry-host": "other.example"},
            "https://other.example/a.tgz",
            "https://m.example/a.tgz",
        ),
        ({}, "", f"{npmrc.PUBLIC}@s/a/-/a-1.0.0.tgz"),
        ({"@s:registry": "https://s.example/x"}, "", "https://s.example/x/@s/a/-/a-1.0.0.tgz"),
    ],
)
def test_where_an_archive_comes_from(settings: dict[str, str], resolved: str, url: str) -> None:
    assert npmrc.url(Config(settings), "@s/a", "1.0.0", resolved) == url


def test_npmrc_files_and_the_environment_go_one_before_the_other(tmp_path: Path) -> None:
    root, user = tmp_path / "svc", tmp_path / "home"
    makers.write(
        root, {".npmrc": "; a comment\n@own:registry=https://own.example/\n//own.example/:_authToken=${TOKEN}\n"}
    )
    makers.write(user, {".npmrc": 'registry="https://user.example/"\n# nothing\n//h/:_password=${MISSING}${EMPTY?}\n'})
    environ = {"HOME": str(user), "TOKEN": "secret", "NPM_CONFIG_REPLACE_REGISTRY_HOST": "never"}
    found = npmrc.read(root, environ)
    assert found.settings == {
        "@own:registry": "https://own.example/",
        "//own.example/:_authToken": "secret",
        "registry": "https://user.example/",
        "//h/:_password": "${MISSING}",
        "replace-registry-host": "never",
    }
    assert "secret" not in repr(found)
    environ["npm_config_registry"] = "https://env.example/"
    assert npmrc.registry(npmrc.read(root, environ), "x") == "https://env.example/"
    assert npmrc.registry(npmrc.read(root, environ), "@own/x") == "https://own.example/"


def test_logins_go_to_their_own_place_alone() -> None:
    secret = base64.b64encode(b"pass").decode()
    settings = {
        "//token.example/npm/:_authToken": "t",
        "//pair.example/:_auth": "dTpw",
        "//user.example/:username": "u",
        "//user.example/:_password": secret,
    }
    headers = npmrc.headers(Config(settings))
    assert headers("https://token.example/npm/a/-/a.tgz") == {"Authorization": "Bearer t"}
    assert headers("https://token.example/other/a.tgz") == {}
    assert headers("https://pair.example/a.tgz") == {"Authorization": "Basic dTpw"}
    assert headers("https://user.example/x/y") == {"Authorization": f"Basic {base64.b64encode(b'u:pass').decode()}"}
    assert headers("https://nobody.example/a.tgz") == {}
    assert headers("/a/file") == {}


def test_a_private_registry_is_asked_with_its_login_and_nothing_of_it_is_sealed(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add({"name": "one"}, {"index.js": ""})
    root = tmp_path / "svc"
    found = nodekit.service(root, registry, {"dependencies": {"one": "1"}}, {".npmrc": f"registry={registry.url}\n"})
    registry.login = "Bearer canary-4711"
    with pytest.raises(ResolveError) as refused:
        nodekit.through(found)
    assert "401" in refused.value.message
    assert ".npmrc" in refused.value.hint
    host = registry.url.removeprefix("http:")
    (root / ".npmrc").write_text(f"registry={registry.url}\n{host}:_authToken=${{CANARY}}\n")
    path = root / "package-lock.json"
    told = json.loads(path.read_text())
    told["packages"]["node_modules/one"]["resolved"] += "?token=canary-4711#canary-4711"
    path.write_text(json.dumps(told, indent=2))
    makers.commit(root)
    monkeypatch.setenv("CANARY", "canary-4711")
    collection, planned = nodekit.through(project.read(root))
    assert any(login == "Bearer canary-4711" for _, login in registry.asked)
    assert "canary" not in repr(collection.archives) + repr(planned) + repr(collection.lock.files)


def test_tarballs_of_the_repository(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "two"}, {"index.js": ""})
    data = nodekit.tarball({"name": "kept", "version": "9.0.0", "dependencies": {"two": "1"}}, {"index.js": "kept"})
    told = {"dependencies": {"kept": "file:vendor/kept.tgz"}}
    found = nodekit.service(tmp_path / "svc", registry, told, {"vendor/kept.tgz": data})
    collection, planned = nodekit.through(found)
    dependency = next(each.dependency for each in collection.archives if each.dependency.name == "kept")
    assert (dependency.version, dependency.url, dependency.requires) == ("9.0.0", None, ("two",))
    assert found.root / "vendor/kept.tgz" in collection.lock.inputs
    mine = nodekit.laid(found, collection, planned)
    theirs = nodekit.installed(found.root, registry.url)
    assert {path.removeprefix("/app"): each for path, each in mine.items() if "/node_modules/" in path} == theirs


def origin(folder: Path, files: dict[str, str]) -> tuple[str, str]:
    """A git repository and its commit."""
    makers.repository(folder, dict(files))
    return f"git+file://{folder}", makers.git(folder, "rev-parse", "HEAD")


PACKED = {
    "package.json": json.dumps(
        {"name": "fromgit", "version": "0.3.0", "files": ["lib", "bin/*.js"], "bin": "bin/x.js"}
    ),
    "README.md": "read",
    "lib/index.js": "1",
    "lib/deep/more.js": "2",
    "bin/x.js": "#!/usr/bin/env node\n",
    "bin/x.txt": "no",
    "test/test.js": "no",
    "package-lock.json": "{}",
    ".npmrc": "no",
}


def test_commits_are_packed_as_npm_packs_them(tmp_path: Path, registry: Registry) -> None:
    url, commit = origin(tmp_path / "origin", PACKED)
    told = {"dependencies": {"fromgit": f"{url}#{commit}"}}
    found = nodekit.service(tmp_path / "svc", registry, told)
    collection, planned = nodekit.through(found)
    dependency = collection.archives[0].dependency
    assert dependency.built_from == f"{url}@{commit}"
    assert dependency.hash is None
    mine = nodekit.laid(found, collection, planned)
    theirs = nodekit.installed(found.root, registry.url)
    assert "/node_modules/fromgit/lib/deep/more.js" in theirs
    assert {path.removeprefix("/app"): each for path, each in mine.items() if "/node_modules/" in path} == theirs


IGNORING = ".npmignore", "test\n*.txt\n!keep.txt\n/top.js\n"


@pytest.mark.parametrize(
    ("manifest", "files", "text"),
    [
        ({}, "test/a.js b.txt keep.txt top.js lib/top.js", IGNORING),
        ({}, "index.js lib/.hidden x.orig ._y CVS/z out/o", (".gitignore", "out/\n# no\n")),
        ({"files": ["a.js", "lib/"], "main": "m.js"}, "a.js m.js sub/a.js lib/b.js LICENSE docs/readme", None),
        ({"files": ["**/*.js", "!lib/no.js"]}, "lib/yes.js lib/no.js lib/z.css", None),
        ({"files": ["lib", "!*.test.js"]}, "lib/a.js lib/b.test.js lib/c/d.test.js x/lib/e.js", None),
        ({"files": ["./dist", "*.md"]}, "dist/a dist/b/c dist2/d x.md y/z.md", None),
        ({"files": []}, "lib/yes.js README", None),
    ],
)
def test_what_npm_packs(manifest: dict[str, Any], files: str, text: tuple[str, str] | None, tmp_path: Path) -> None:
    whole = {"package.json": json.dumps({"name": "p", "version": "1.0.0", **manifest})}
    whole |= dict.fromkeys(files.split(), "") | dict([text] if text else [])
    makers.write(tmp_path / "p", whole)
    said = nodekit.npm("pack", "./p", "--dry-run", "--json", "--loglevel=silent", cwd=tmp_path)
    theirs = sorted(each["path"] for each in json.loads(said)[0]["files"])
    ignores = {name: whole.get(name) for name in (".npmignore", ".gitignore")}
    assert pack.packed(sorted(whole), json.loads(whole["package.json"]), ignores) == theirs


def test_a_commit_that_has_to_be_prepared_is_refused_with_the_reason(tmp_path: Path) -> None:
    files = {
        "package.json": json.dumps({"name": "made", "version": "1.0.0", "scripts": {"prepare": "tsc"}}),
        "a.ts": "",
    }
    url, commit = origin(tmp_path / "origin", files)
    lock = {
        "lockfileVersion": 3,
        "packages": {
            "": {"name": "svc", "version": "1.4.0", "dependencies": {"made": f"{url}#{commit}"}},
            "node_modules/made": {"version": "1.0.0", "resolved": f"{url}#{commit}"},
        },
    }
    root = tmp_path / "svc"
    nodekit.prepare(root, {"dependencies": {"made": f"{url}#{commit}"}}, OWN | {"package-lock.json": json.dumps(lock)})
    makers.repository(root, {})
    with pytest.raises(ResolveError, match=r"made by its `prepare` script \(tsc\)") as told:
        nodekit.through(project.read(root))
    assert "npm pack" in told.value.hint


def monorepo(folder: Path, registry: Registry, below: str = "services/api") -> project.Project:
    """A service that is one of several members, with a library beside it and another member that is not its own."""
    registry.add({"name": "plain", "version": "1.0.0"}, {"index.js": "exports.version = 1"})
    registry.add({"name": "plain", "version": "2.0.0"}, {"index.js": "exports.version = 2"})
    registry.add({"name": "web-only"}, {"index.js": ""})
    registry.add({"name": "linter"}, {"index.js": ""})
    members = {
        f"{below}/package.json": {
            "name": "api",
            "version": "1.2.0",
            "dependencies": {"plain": "1", "@own/lib": "*"},
            "devDependencies": {"linter": "1"},
        },
        "libs/lib/package.json": {"name": "@own/lib", "version": "0.1.0", "dependencies": {"plain": "2"}},
        "services/web/package.json": {
            "name": "web",
            "version": "1.0.0",
            "dependencies": {"web-only": "1", "plain": "2"},
        },
    }
    files = {name: json.dumps(told) for name, told in members.items()}
    files |= {
        f"{below}/server.js": "console.log(require('plain').version, require('@own/lib').version)",
        "libs/lib/index.js": "exports.version = require('plain').version",
    }
    return nodekit.service(folder, registry, {"workspaces": ["services/*", "libs/*"]}, files, below=below)


def test_a_member_of_a_workspace_gets_what_it_needs_and_no_more(tmp_path: Path, registry: Registry) -> None:
    found = monorepo(tmp_path / "repo", registry)
    assert (found.name, found.version.number) == ("api", "1.2.0")
    collection, planned = nodekit.through(found)
    assert [each.dependency.archive for each in collection.archives] == [
        "deps/own-lib-0.1.0.tgz",
        "deps/plain-1.0.0.tgz",
        "deps/plain-2.0.0.tgz",
    ]
    assert collection.archives[0].dependency.built_from == "libs/lib"
    laid = nodekit.laid(found, collection, planned)
    assert laid["/node_modules/@own/lib"] == ("link", "../.linked/libs/lib")
    assert "/node_modules/.linked/libs/lib/index.js" in laid
    assert not any("web-only" in path or "linter" in path for path in laid)
    assert planned.plans.images[0].config.environment["PATH"].startswith("/app/node_modules/.bin:/node_modules/.bin:")


def test_a_member_finds_the_versions_that_the_lock_gives_it(tmp_path: Path, registry: Registry) -> None:
    """Laid out on disk and run: what each module requires is what npm's own tree would give it."""
    found = monorepo(tmp_path / "repo", registry)
    theirs = tmp_path / "theirs"
    nodekit.run("cp", "-a", found.repository, theirs, cwd=tmp_path)
    nodekit.npm("ci", "--omit=dev", cwd=theirs, registry=registry.url)
    said = nodekit.run(nodekit.programs() / "node", "services/api/server.js", cwd=theirs)
    root = tmp_path / "image"
    nodekit.spread(found, *nodekit.through(found), root)
    assert nodekit.run(nodekit.programs() / "node", "app/server.js", cwd=root) == said == "1 2\n"


def test_folders_beside_the_service_s_own_lock(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "plain"}, {"index.js": "exports.version = 1"})
    needs = {"lib": "file:../libs/lib"}
    files = {
        "svc/package.json": json.dumps({"name": "api", "version": "1.0.0", "dependencies": needs}),
        "svc/server.js": "console.log(require('lib').version)",
        "libs/lib/package.json": json.dumps({"name": "lib", "version": "2.0.0", "dependencies": {"plain": "1"}}),
        "libs/lib/index.js": "exports.version = require('plain').version",
    }
    root = tmp_path / "repo"
    makers.write(root, {**files, "svc/cdaf.toml": nodekit.CONFIG, ".gitignore": ".npm-home\nnode_modules\n"})
    nodekit.lock(root / "svc", registry.url)
    makers.repository(root, {})
    # npm leaves it to the folder to have what it needs, and a folder of the bundle has nothing but what is in git.
    with pytest.raises(ProjectError, match=r"plain, which \.\./libs/lib needs, is not in the lock .*workspace"):
        nodekit.through(project.read(root / "svc"))
    needs["plain"] = "1"
    told = {"name": "api", "version": "1.0.0", "dependencies": needs}
    makers.write(root, {"svc/package.json": json.dumps(told)})
    nodekit.lock(root / "svc", registry.url)
    makers.commit(root)
    found = project.read(root / "svc")
    collection, planned = nodekit.through(found)
    laid = nodekit.laid(found, collection, planned)
    assert laid["/app/node_modules/lib"] == ("link", ".linked/libs/lib")
    nodekit.spread(found, collection, planned, tmp_path / "image")
    assert nodekit.run(nodekit.programs() / "node", "app/server.js", cwd=tmp_path / "image") == "1\n"


def test_folders_outside_of_the_repository_are_refused(tmp_path: Path, registry: Registry) -> None:
    makers.write(tmp_path / "away", {"package.json": '{"name": "away", "version": "1.0.0"}'})
    found = nodekit.service(tmp_path / "svc", registry, {"dependencies": {"away": "file:../away"}})
    with pytest.raises(ProjectError, match=r"\.\./away is outside of the repository") as told:
        nodekit.through(found)
    assert "move them into the repository" in told.value.hint


def test_a_stranger_below_another_s_lock_is_refused(tmp_path: Path, registry: Registry) -> None:
    found = nodekit.service(
        tmp_path / "repo",
        registry,
        {},
        {"other/package.json": '{"version": "1.0.0"}', "other/server.js": ""},
        below="other",
    )
    with pytest.raises(CdafError, match="knows nothing of other"):
        nodekit.through(found)


def test_two_archives_of_one_name_have_two_members(tmp_path: Path, registry: Registry) -> None:
    registry.add({"name": "@a/b"}, {"index.js": "scoped"})
    registry.add({"name": "a-b"}, {"index.js": "plain"})
    found = nodekit.service(tmp_path / "svc", registry, {"dependencies": {"@a/b": "1", "a-b": "1"}})
    collection, planned = nodekit.through(found)
    names = [each.dependency.archive for each in collection.archives]
    assert len({name.lower() for name in names}) == 2
    laid = nodekit.laid(found, collection, planned)
    assert laid["/app/node_modules/@a/b/index.js"] != laid["/app/node_modules/a-b/index.js"]
