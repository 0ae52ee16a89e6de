"""Fetching by SHA-1 and by content tree: mirrors, logins, archives that changed, git and path packages."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from cdaf.errors import CdafError, ProjectError, ResolveError
from cdaf.languages import Collection, php
from cdaf.projects import pins, project
from tests import makers, phpkit


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COMPOSER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COMPOSER_AUTH", raising=False)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def thing(tmp_path: Path, url: str = "", name: str = "acme/thing", **more: Any) -> dict[str, Any]:
    path = phpkit.archive(tmp_path / f"index/{name.replace('/', '-')}.zip", {"src/Thing.php": f"<?php // {name}"})
    return phpkit.entry(name, path, **({"url": f"{url}/{path.name}"} if url else {}), **more)


def collected(found: project.Project, *known: pins.Archive) -> Collection:
    return php.collect(found, php.resolve(found, phpkit.pinned(found, *known)))


def test_by_checksum_the_archive_is_sealed_as_it_came(tmp_path: Path) -> None:
    with phpkit.serving(tmp_path / "index") as (url, _):
        found = phpkit.service(tmp_path / "svc", [thing(tmp_path, url)])
        (archive,) = collected(found).archives
    assert archive.path.read_bytes() == (tmp_path / "index/acme-thing.zip").read_bytes()
    assert archive.dependency.url == f"{url}/acme-thing.zip"
    assert archive.dependency.archive == "deps/acme/thing-1.0.0.zip"
    collected(found)  # from the store: the server is gone


def test_a_checksum_that_is_another(tmp_path: Path) -> None:
    with phpkit.serving(tmp_path / "index") as (url, _):
        found = phpkit.service(tmp_path / "svc", [thing(tmp_path, url, shasum="0" * 40)])
        with pytest.raises(ResolveError, match=r"hash mismatch for acme/thing 1\.0\.0"):
            collected(found)


def test_without_one_the_tree_is_what_counts(tmp_path: Path) -> None:
    """A forge may pack anew; one changed file is another tree."""
    with phpkit.serving(tmp_path / "index") as (url, _):
        found = phpkit.service(tmp_path / "svc", [thing(tmp_path, url, shasum="")])
        (taken,) = php.pin_archives(found, ())
        first = collected(found, taken).archives[0]
        place = tmp_path / "index/acme-thing.zip"
        phpkit.archive(place, {"src/Thing.php": "<?php // acme/thing"}, top="other-top-9/", second=2, level=1)
        import shutil

        shutil.rmtree(tmp_path / "cache")
        again = collected(found, taken).archives[0]
        assert again.dependency.sha256 == first.dependency.sha256
        assert again.dependency.hash == taken.hash
        phpkit.archive(place, {"src/Thing.php": "<?php // changed"})
        shutil.rmtree(tmp_path / "cache")
        with pytest.raises(ResolveError, match=r"hash mismatch for acme/thing: cdaf\.lock says tree-sha256:") as caught:
            collected(found, taken)
        assert "cdaf lock --upgrade" in caught.value.hint


def test_all_that_cannot_be_had_is_told_at_once(tmp_path: Path) -> None:
    with phpkit.serving(tmp_path / "index") as (url, _):
        listed = [thing(tmp_path, f"{url}/nowhere", f"acme/p{number}", shasum="") for number in range(3)]
        found = phpkit.service(tmp_path / "svc", listed)
        with pytest.raises(ResolveError) as caught:
            php.pin_archives(found, ())
    assert all(f"acme/p{number} 1.0.0" in caught.value.message for number in range(3))
    assert "404" in caught.value.message


@pytest.mark.parametrize("shasum", [None, ""])
@pytest.mark.parametrize("preferred", [True, False])
def test_mirrors_of_the_lock(tmp_path: Path, shasum: str | None, preferred: bool) -> None:
    with phpkit.serving(tmp_path / "index") as (url, asked):
        entry = thing(tmp_path, f"{url}/origin", shasum=shasum)
        template = f"{url}/mirror/%package%/%prettyVersion%/%reference%.%type%"
        entry["dist"]["mirrors"] = [{"url": template, "preferred": preferred}]
        mirrored = tmp_path / f"index/mirror/acme/thing/1.0.0/{phpkit.COMMIT}.zip"
        mirrored.parent.mkdir(parents=True)
        mirrored.write_bytes((tmp_path / "index/acme-thing.zip").read_bytes())
        found = phpkit.service(tmp_path / "svc", [entry])
        known = php.pin_archives(found, ())
        collected(found, *known)
    paths = [path for path, _ in asked]
    assert paths[0].startswith("/mirror/" if preferred else "/origin/")
    assert any(path.startswith("/mirror/acme/thing/1.0.0/") for path in paths)


def test_mirrors_that_composer_s_settings_lead_to(tmp_path: Path, home: Path) -> None:
    """The lock names an address that is out of reach; nothing of the mirror enters the bundle."""
    with phpkit.serving(tmp_path / "index") as (url, _):
        entry = thing(tmp_path, "http://127.0.0.1:9", shasum="")
        mirrored = tmp_path / f"index/m/acme/thing/{phpkit.COMMIT}.zip"
        mirrored.parent.mkdir(parents=True)
        (tmp_path / "index/acme-thing.zip").rename(mirrored)
        told = {"mirrors": [{"dist-url": f"{url}/m/%package%/%reference%.%type%", "preferred": True}]}
        (tmp_path / "index/packages.json").write_text(json.dumps(told))
        (home / "config.json").write_text(json.dumps({"repositories": [{"type": "composer", "url": url}]}))
        found = phpkit.service(tmp_path / "svc", [entry])
        (archive,) = collected(found, *php.pin_archives(found, ())).archives
    assert archive.dependency.url == "http://127.0.0.1:9/acme-thing.zip"


LOGINS = {
    "http-basic": ({"username": "u", "password": "hunter2"}, "Basic " + base64.b64encode(b"u:hunter2").decode()),
    "bearer": ("hunter2", "Bearer hunter2"),
    "github-oauth": ("hunter2", "token hunter2"),
    "gitlab-token": ("hunter2", "Bearer hunter2"),
    "gitlab-oauth": ({"token": "hunter2"}, "Bearer hunter2"),
}


@pytest.mark.parametrize("kind", LOGINS)
@pytest.mark.parametrize("place", ["environment", "home", "project"])
def test_logins_as_composer_has_them(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, kind: str, place: str
) -> None:
    told, header = LOGINS[kind]
    with phpkit.serving(tmp_path / "index", login=header) as (url, asked):
        found = phpkit.service(tmp_path / "svc", [thing(tmp_path, url)])
        auth = json.dumps({kind: {url.removeprefix("http://"): told}})
        if place == "environment":
            monkeypatch.setenv("COMPOSER_AUTH", auth)
        else:
            ((home if place == "home" else found.root) / "auth.json").write_text(auth)
        collection = collected(found)
    assert asked[-1] == ("/acme-thing.zip", header)
    assert b"hunter2" not in json.dumps(repr(collection)).encode()


def test_a_missing_login_is_said_without_any_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with phpkit.serving(tmp_path / "index", login="Bearer right") as (url, _):
        monkeypatch.setenv("COMPOSER_AUTH", json.dumps({"bearer": {url.removeprefix("http://"): "wrong-hunter2"}}))
        found = phpkit.service(tmp_path / "svc", [thing(tmp_path, url, shasum="")])
        with pytest.raises(ResolveError, match="other credentials") as caught:
            php.pin_archives(found, ())
    assert "hunter2" not in caught.value.message + caught.value.hint + caught.value.output
    assert "COMPOSER_AUTH" in caught.value.hint


@pytest.mark.parametrize("text", ["{", "[]", "hunter2"])
def test_logins_that_are_no_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("COMPOSER_AUTH", text)
    with phpkit.serving(tmp_path / "index") as (url, _):
        found = phpkit.service(tmp_path / "svc", [thing(tmp_path, url)])
        with pytest.raises(ProjectError, match="COMPOSER_AUTH") as caught:
            collected(found)
    assert "hunter2" not in caught.value.message


def test_a_package_that_the_lock_knows_by_its_commit_alone(tmp_path: Path) -> None:
    upstream = makers.repository(tmp_path / "upstream", {"src/Thing.php": "<?php", "bin/x": "#!/bin/sh\n"})
    commit = makers.git(upstream, "rev-parse", "HEAD")
    entry = phpkit.entry("acme/thing", source={"type": "git", "url": str(upstream), "reference": commit})
    found = phpkit.service(tmp_path / "svc", [entry])
    (archive,) = collected(found).archives
    assert archive.dependency.built_from == f"git+{upstream}@{commit}"
    assert archive.dependency.hash == f"git:{commit}"
    assert archive.dependency.url is None


def test_a_path_package_is_what_git_tracks_there(tmp_path: Path) -> None:
    files = {
        "packages/thing/composer.json": '{"name": "acme/thing"}',
        "packages/thing/src/T.php": "<?php",
        ".gitignore": "*.log\n",
    }
    entry = phpkit.entry("acme/thing", dist={}, version="dev-main")
    entry["dist"] = {"type": "path", "url": "packages/thing", "reference": "0" * 40}
    found = phpkit.service(tmp_path / "svc", [entry], files=files)
    (tmp_path / "svc/packages/thing/debug.log").write_text("not tracked")
    (archive,) = collected(found).archives
    assert archive.dependency.built_from == "packages/thing"
    first = archive.dependency.sha256
    (tmp_path / "svc/packages/thing/src/T.php").write_text("<?php // changed")
    assert collected(found).archives[0].dependency.sha256 != first


def test_a_path_package_that_says_something_else_by_now(tmp_path: Path) -> None:
    files = {"packages/thing/composer.json": '{"name": "acme/thing", "require": {"acme/more": "^1"}}'}
    entry = {**phpkit.entry("acme/thing"), "dist": {"type": "path", "url": "packages/thing", "reference": "0" * 40}}
    found = phpkit.service(tmp_path / "svc", [entry], files=files)
    with pytest.raises(CdafError, match=r"acme/thing.*composer\.json"):
        collected(found)
