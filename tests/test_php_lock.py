"""composer.lock and what it is refused for: each fault by itself, all faults at once, never a file left behind."""

import json
from pathlib import Path
from typing import Any

import pytest

from cdaf.errors import CdafError, ProjectError, ResolveError
from cdaf.languages import php
from cdaf.projects import pins, project
from tests import acceptance, makers, phpkit

HASH = "tree-sha256:" + "0" * 64


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COMPOSER_HOME", str(tmp_path / "home"))


def thing(tmp_path: Path, name: str = "acme/thing", **more: Any) -> dict[str, Any]:
    path = phpkit.archive(tmp_path / f"archives/{name.replace('/', '-').lower()}.zip", {"src/Thing.php": "<?php"})
    return phpkit.entry(name, path, **more)


def refused(found: project.Project, kind: type[CdafError], *said: str) -> CdafError:
    """Resolving fails, and says so with these words."""
    with pytest.raises(kind) as caught:
        php.resolve(found, phpkit.pinned(found))
    for word in said:
        assert word in caught.value.message, caught.value.message
    assert caught.value.hint
    return caught.value


def test_a_lock_is_read_with_what_it_says_of_each_package(tmp_path: Path) -> None:
    one = thing(tmp_path, "acme/one", require={"php": "^8", "acme/two": "^1"}, license=["MIT", "GPL-2.0-or-later"])
    found = phpkit.service(tmp_path / "svc", [one, thing(tmp_path, "acme/two")])
    lock = php.resolve(found, phpkit.pinned(found))
    assert [each.name for each in lock.packages] == ["acme/one", "acme/two"]  # type: ignore[attr-defined]
    sealed = {each.dependency.name: each.dependency for each in php.collect(found, lock).archives}
    assert sealed["acme/one"].purl == "pkg:composer/acme/one@1.0.0"
    assert sealed["acme/one"].license == "MIT OR GPL-2.0-or-later"
    assert sealed["acme/one"].requires == ("acme/two",)
    assert sealed["acme/one"].hash == f"sha1:{one['dist']['shasum']}"
    assert lock.resolver["composer"].startswith("composer:2@sha256:")


def test_no_lock(tmp_path: Path) -> None:
    found = phpkit.service(tmp_path / "svc", [thing(tmp_path)])
    (found.root / "composer.lock").unlink()
    assert "composer.lock is missing" in refused(found, ProjectError).message
    assert php.check(found) == [f"composer.lock is missing in {found.root}"]


def test_no_manifest(tmp_path: Path) -> None:
    found = phpkit.service(tmp_path / "svc", [thing(tmp_path)])
    (found.root / "composer.json").unlink()
    refused(found, ProjectError, "composer.json is missing")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a": NaN}', "\x00", '"x"', "[" * 50_000])
def test_what_is_no_lock_at_all(tmp_path: Path, text: str) -> None:
    found = phpkit.service(tmp_path / "svc", [thing(tmp_path)])
    (found.root / "composer.lock").write_text(text)
    refused(found, ProjectError, "composer.lock")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"plugin-api-version": "3.0.0"}, "plugin-api-version '3.0.0'"),
        ({"plugin-api-version": "1.1.0"}, "plugin-api-version '1.1.0'"),
        ({"plugin-api-version": None}, "before Composer 2"),
        ({"plugin-api-version": 2}, "plugin-api-version 2"),
        ({"packages": None}, "packages"),
        ({"packages": {}}, "packages"),
        ({"packages-dev": ["acme/x"]}, "packages-dev"),
        ({"packages": [{"name": "acme/x"}]}, "packages"),
        ({"content-hash": None}, "content-hash"),
        ({"content-hash": "0" * 32}, "out of step with composer.json"),
    ],
)
def test_locks_of_another_form(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    found = phpkit.service(tmp_path / "svc", [thing(tmp_path)], locked=change)
    error = refused(found, ProjectError, said)
    assert "composer update" in error.hint


def test_a_manifest_that_was_changed_since(tmp_path: Path) -> None:
    found = phpkit.service(tmp_path / "svc", [thing(tmp_path)])
    told = json.loads((found.root / "composer.json").read_bytes())
    told["require"]["acme/new"] = "^1"
    (found.root / "composer.json").write_text(json.dumps(told))
    refused(found, ProjectError, "out of step")
    assert any("out of step" in fault for fault in php.check(found))
    for command in ("lock", "check"):
        said = acceptance.cdaf(command, found.root, expect=3).stderr
        assert "out of step" in said
        assert "hint: run `composer update --lock`, and `composer update NAME` for what composer.json asks anew" in said


def test_a_requirement_that_the_lock_lacks_though_its_hash_is_right(tmp_path: Path) -> None:
    told = phpkit.manifest([thing(tmp_path)], require={"acme/thing": "*", "acme/lost": "*", "ext-json": "*"})
    found = phpkit.service(tmp_path / "svc", [thing(tmp_path)], require=told["require"])
    error = refused(found, ProjectError, "acme/lost is required by composer.json and not in the lock")
    assert "ext-json" not in error.message


@pytest.mark.parametrize(
    "name",
    [
        "../evil/x",
        "acme/../x",
        "acme",
        "acme/x/y",
        "/etc/passwd",
        "acme/x\n",
        "acme/",
        "acme\\x",
        "acme/.hidden",
        "a b/c",
        "ä/b",
    ],
)
def test_names_that_would_leave_the_folder(tmp_path: Path, name: str) -> None:
    path = phpkit.archive(tmp_path / "archives/x.zip", {"x.php": "<?php"})
    found = phpkit.service(tmp_path / "svc", [phpkit.entry(name, path)], require={})
    refused(found, ProjectError, f"{name!r} is no package's name")


@pytest.mark.parametrize("version", ["../1.0", "1.0\n", "", "1..0", "$(x)", "1.0\x00", "a" * 5 + "\u202e"])
def test_versions_that_would(tmp_path: Path, version: str) -> None:
    found = phpkit.service(tmp_path / "svc", [thing(tmp_path, version=version)], require={})
    refused(found, ProjectError, "is no version")


def test_names_that_differ_by_case_and_names_that_are_there_twice(tmp_path: Path) -> None:
    listed = [thing(tmp_path, "acme/thing"), thing(tmp_path, "Acme/Thing"), thing(tmp_path, "acme/two")]
    found = phpkit.service(tmp_path / "svc", [*listed, thing(tmp_path, "acme/two")], require={})
    refused(found, ProjectError, "acme/thing and Acme/Thing differ by case alone", "acme/two is there twice")


def without(entry: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in keys}


def test_everything_that_cannot_be_had_is_told_at_once(tmp_path: Path) -> None:
    plain = [thing(tmp_path, f"acme/p{number}") for number in range(9)]
    plain[0]["dist"]["type"] = "rar"
    plain[1] = without(plain[1], "dist")
    plain[2] = {**without(plain[2], "dist"), "source": {"type": "svn", "url": "x", "reference": "1"}}
    plain[3] = {**without(plain[3], "dist"), "source": {"type": "git", "url": "x", "reference": "main"}}
    plain[4]["target-dir"] = "Acme/Thing"
    plain[5]["dist"]["shasum"] = "not hex"
    plain[6]["dist"]["url"] = ""
    plain[7] = {**without(plain[7], "dist"), "dist": {"type": "path", "url": "../elsewhere", "reference": "x"}}
    plain[8]["bin"] = ["../../outside"]
    found = phpkit.service(tmp_path / "svc", plain)
    words = ("'rar'", "neither an archive nor a source", "'svn'", "no whole commit", "target-dir", "no SHA-1", "no URL")
    error = refused(found, ResolveError, *words, "outside of the repository", "not below its folder")
    assert all(f"acme/p{number} 1.0.0" in error.message for number in range(9))
    assert len(php.check(found)) == 9


def test_an_archive_of_which_no_hash_is_known(tmp_path: Path) -> None:
    found = phpkit.service(tmp_path / "svc", [thing(tmp_path, shasum="")])
    lock = php.resolve(found, phpkit.pinned(found))
    with pytest.raises(ProjectError, match=r"no hash of acme/thing 1\.0\.0") as caught:
        php.collect(found, lock)
    assert "cdaf lock" in caught.value.hint


def test_packages_that_count_on_composer_s_plugins(tmp_path: Path) -> None:
    listed = [
        thing(tmp_path, "composer/installers", type="composer-plugin"),
        thing(tmp_path, "acme/theme", type="wordpress-theme", require={"composer/installers": "^2"}),
        thing(tmp_path, "symfony/runtime", type="composer-plugin"),
        thing(tmp_path, "acme/quiet", type="composer-plugin"),
    ]
    allow = {"symfony/*": True, "composer/installers": False, "acme/quiet": False}
    found = phpkit.service(tmp_path / "svc", listed, composer={"allow-plugins": allow, "optimize-autoloader": True})
    error = refused(
        found, ResolveError, "acme/theme 1.0.0 is put elsewhere by composer/installers", "symfony/runtime 1.0.0"
    )
    assert "php.plugins" in error.message
    assert "acme/quiet" not in error.message


def test_a_plugin_may_be_named_and_one_that_is_none_may_not(tmp_path: Path) -> None:
    config = phpkit.CONFIG + '[php]\nplugins = ["acme/plugin", "acme/none"]\n'
    listed = [thing(tmp_path, "acme/plugin", type="composer-plugin")]
    found = phpkit.service(tmp_path / "svc", listed, composer={"allow-plugins": True}, config=config)
    error = refused(found, ResolveError, "'acme/none' is no plugin")
    assert "acme/plugin 1.0.0" not in error.message


def test_scripts_are_told_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del capsys
    found = phpkit.service(
        tmp_path / "svc", [thing(tmp_path)], scripts={"post-autoload-dump": "touch /tmp/never", "test": "x"}
    )
    said: list[str] = []

    class Sink:
        def __getattr__(self, name: str) -> Any:
            return lambda text, *_: said.append(text)

    from cdaf import progress

    old = progress._sink
    progress.use(Sink())
    try:
        php.resolve(found, phpkit.pinned(found))
    finally:
        progress.use(old)
    assert any("post-autoload-dump" in text and "[build] run" in text for text in said)


def test_settings_that_php_has_no_use_of(tmp_path: Path) -> None:
    config = phpkit.CONFIG.replace("[service]\n", '[service]\ngroups = ["x"]\n')
    config += '[smoke]\ngroup = "smoke"\nchecks = ["php", "main.php"]\n'
    found = phpkit.service(
        tmp_path / "svc", [thing(tmp_path)], config=config, composer={"vendor-dir": "lib", "bin-dir": "bin/"}
    )
    refused(found, ProjectError, "groups", "smoke.group", "config.vendor-dir", "config.bin-dir")


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ({"php": "^7.4"}, "needs php ^7.4, and php:8.4-cli has 8.4.28"),
        ({"php": ">=8.5"}, "needs php >=8.5"),
        ({"ext-imagick": "*"}, "needs ext-imagick, which php:8.4-cli has not"),
        ({"ext-redis": "^7"}, "needs ext-redis ^7, and php:8.4-cli has 6.1.0"),
        ({"php-zts": "*"}, "needs php-zts"),
    ],
)
def test_a_platform_that_the_base_is_not(tmp_path: Path, needs: dict[str, str], said: str) -> None:
    found = phpkit.service(tmp_path / "svc", [thing(tmp_path, require=needs)])
    refused(found, ResolveError, f"acme/thing 1.0.0 {said}")


def test_platforms_that_the_base_is(tmp_path: Path) -> None:
    needs = {
        "php": "^8.2 || ^9",
        "ext-json": "*",
        "ext-zend-opcache": "*",
        "ext-mbstring": "*",
        "php-64bit": "*",
        "lib-icu": ">50",
    }
    polyfill = thing(tmp_path, "acme/polyfill", provide={"ext-mbstring": "*"})
    dev = thing(tmp_path, "acme/dev", require={"ext-xdebug": "*"})
    found = phpkit.service(tmp_path / "svc", [thing(tmp_path, require=needs), polyfill], [dev])
    php.resolve(found, phpkit.pinned(found))


def test_a_manifest_s_own_requirement_is_held_against_the_base_too(tmp_path: Path) -> None:
    found = phpkit.service(tmp_path / "svc", [], require={"php": "~8.3.0", "ext-gd": "*"})
    refused(found, ResolveError, "composer.json needs php ~8.3.0", "composer.json needs ext-gd")


def test_a_lock_in_a_folder_above_is_not_this_service_s(tmp_path: Path) -> None:
    phpkit.service(tmp_path / "top", [thing(tmp_path)])
    makers.write(tmp_path / "top/below", {"cdaf.toml": phpkit.CONFIG, "main.php": "<?php", "src/a.php": "<?php"})
    makers.commit(tmp_path / "top")
    refused(project.read(tmp_path / "top/below"), ProjectError, "composer.lock is missing")


def test_sealed_locks_have_no_credentials(tmp_path: Path) -> None:
    entry = thing(tmp_path)
    entry["dist"]["url"] = "https://user:hunter2@example.org/x.zip"
    found = phpkit.service(tmp_path / "svc", [entry])
    text = (found.root / "composer.lock").read_text().replace("/", "\\/")  # as PHP writes them, if it is let
    for spelt in (text, text.replace("\\/", "/")):
        (found.root / "composer.lock").write_text(spelt)
        lock = php.resolve(found, phpkit.pinned(found))
        assert b"hunter2" not in lock.files["composer.lock"]
        assert b"example.org" in lock.files["composer.lock"]


def test_hashes_are_pinned_once_and_kept(tmp_path: Path) -> None:
    found = phpkit.service(tmp_path / "svc", [thing(tmp_path, "acme/bare", shasum=""), thing(tmp_path, "acme/summed")])
    (taken,) = php.pin_archives(found, ())
    assert (taken.name, taken.version) == ("acme/bare", "1.0.0")
    assert taken.hash.startswith("tree-sha256:")
    (tmp_path / "archives/acme-bare.zip").unlink()
    assert php.pin_archives(found, (taken,)) == (taken,)
    old = pins.Archive(name="acme/bare", version="0.9", hash=HASH)
    with pytest.raises(ResolveError, match="acme/bare"):
        php.pin_archives(found, (old,))
