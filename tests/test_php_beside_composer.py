"""The vendor folder of an image beside the one that Composer itself installs from the same lock."""

import json
import os
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cdaf.bundles import bundle
from cdaf.images import building
from tests import acceptance, makers, phpkit
from tests.acceptance import cdaf

pytestmark = pytest.mark.docker
INSTALL = "composer install --no-scripts --no-plugins --no-progress --no-interaction -q"
Tree = dict[str, tuple[int, bytes]]


@pytest.fixture(autouse=True)
def cache(shared: Path) -> None:
    """All tests of a run have one cache."""
    del shared


def image(root: Path) -> Tree:
    """What an image holds below /app/vendor: modes and bytes, links as mode 0o777."""
    opened = bundle.open(Path(cdaf("package", root).stdout.strip()))
    (made,) = building.images(opened)
    found: Tree = {}
    for layer in made.layers:
        if layer.path is not None:
            with tarfile.open(layer.path) as tar:
                for member in tar:
                    file = tar.extractfile(member) if member.isfile() else None
                    if member.issym():
                        found[member.name] = (0o777, member.linkname.encode())
                    elif file:
                        found[member.name] = (member.mode, file.read())
    return {name.removeprefix("app/vendor/"): each for name, each in found.items() if name.startswith("app/vendor/")}


def composer(root: Path, install: str, lock: Mapping[str, Any] | None = None) -> Tree:
    """What Composer installs, from a copy of the service's files; `lock` is written over the service's."""
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    files = {name: data for name, data in files.items() if not name.startswith((".git/", "dist/"))}
    if lock is not None:
        files["composer.lock"] = json.dumps(lock).encode()
    found = phpkit.run(install, files)
    return {name.removeprefix("vendor/"): each for name, each in found.items() if name.startswith("vendor/")}


def same(ours: Tree, theirs: Tree) -> None:
    """Every file, its bytes and whether it can be run. A mode is one of two in images."""
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name][1] != theirs[name][1]] == []
    assert [name for name in ours if bool(ours[name][0] & 0o111) != bool(theirs[name][0] & 0o111)] == []


def test_the_example_is_laid_out_as_composer_does(tmp_path: Path, shared: Path) -> None:
    root = acceptance.locked("storefront", tmp_path / "svc", shared)
    config = (root / "cdaf.toml").read_text()
    (root / "cdaf.toml").write_text(re.sub("exclude = .*\n", "", config))
    makers.commit(root)
    lock = json.loads((root / "composer.lock").read_bytes())
    told = json.loads(Path(os.environ["COMPOSER_HOME"], "packages.json").read_bytes())["mirrors"][0]
    mirror = {"url": told["dist-url"], "preferred": True}
    led = json.loads(json.dumps(lock))
    for each in (*led["packages"], *led["packages-dev"]):
        each["dist"]["mirrors"] = [mirror]
    theirs = composer(root, f"composer config -g secure-http false; {INSTALL} --no-dev", led)
    mode, data = theirs["composer/installed.json"]
    text = re.sub(rb',\s+"mirrors": \[[^]]*\]', b"", data)  # ours was led there by Composer's settings, not by the lock
    same(image(root), {**theirs, "composer/installed.json": (mode, text)})


@pytest.fixture
def packages(tmp_path: Path) -> list[dict[str, Any]]:
    """Packages of every kind that Composer lays out in its own way."""
    made = []

    def package(name: str, files: dict[str, str], **more: Any) -> None:
        how = {key: more.pop(key) for key in ("top", "executable", "links") if key in more}
        path = phpkit.archive(tmp_path / "index" / f"{name.replace('/', '-')}.zip", files, **how)
        made.append(phpkit.entry(name, path, **more))

    package(
        "acme/psr4",
        {"src/Thing.php": "<?php namespace Acme; class Thing {}", "src/a/B.php": "<?php namespace Acme\\a; enum B {}"},
        autoload={"psr-4": {"Acme\\": "src/"}},
        version="v1.2.3",
    )
    package(
        "acme/psr0",
        {"lib/Old/Style.php": "<?php class Old_Style {} interface Old_Other {}"},
        autoload={"psr-0": {"Old_": "lib/", "Older\\": ["lib/", "more/"]}},
    )
    package(
        "acme/classmap",
        {
            "legacy/x.php": "<?php\n/* class No {} */ class Yes {} trait Also {}\n$a = <<<E\nclass Neither {}\nE;\n",
            "legacy/skip/y.php": "<?php class Skipped {}",
            "one.inc": "<?php class Inc {}",
        },
        autoload={"classmap": ["legacy/", "one.inc"], "exclude-from-classmap": ["legacy/skip/"]},
    )
    package(
        "acme/files",
        {"functions.php": "<?php namespace Acme; function f() { return 1; }"},
        autoload={"files": ["functions.php"]},
        require={"acme/psr4": "^1"},
    )
    package(
        "acme/bins",
        {
            "bin/tool": "#!/usr/bin/env php\n<?php echo 'tool', PHP_EOL;",
            "bin/shell": "#!/bin/sh\necho shell\n",
            "bin/plain.php": "<?php echo 'plain';",
        },
        executable=("bin/shell",),
        bin=["bin/tool", "bin/shell", "bin/plain.php"],
    )
    package("acme/flat", {"a.php": "<?php", "b/c.txt": "ü"}, top="")
    package("acme/links", {"real.txt": "x", "dir/y.txt": "y"}, links={"dir/link.txt": "../real.txt"})
    package(
        "acme/plugin",
        {"P.php": "<?php"},
        type="composer-plugin",
        require={"composer-plugin-api": "^2"},
        extra={"class": "P"},
    )
    package("acme/polyfill", {"p.php": "<?php"}, provide={"ext-acme": "1.0"}, replace={"acme/old": "self.version"})
    tar = phpkit.tarball(tmp_path / "index/acme-tar.tar", {"t.php": "<?php", "long/" * 10 + "x": "deep"})
    made.append(phpkit.entry("acme/tar", tar, version="dev-main"))
    made.append(phpkit.entry("acme/meta", type="metapackage", require={"acme/psr4": "*"}))
    return made


SETTINGS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "optimized": {"optimize-autoloader": True},
    "authoritative": {"classmap-authoritative": True, "apcu-autoloader": True},
    "with a suffix, and all of the platform checked": {"autoloader-suffix": "Fixed", "platform-check": True},
    "without a check, programs for all": {"platform-check": False, "bin-compat": "full", "prepend-autoloader": False},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_kind_of_package_and_setting(name: str, packages: list[dict[str, Any]], tmp_path: Path) -> None:
    config = {**SETTINGS[name], "allow-plugins": False}
    dev = [phpkit.entry("acme/dev", phpkit.archive(tmp_path / "index/dev.zip", {"d.php": "<?php class Dev {}"}))]
    with phpkit.serving(tmp_path / "index") as (url, _):
        for each in [*packages, *dev]:
            if "dist" in each:
                each["dist"]["url"] = f"{url}/{Path(each['dist']['url']).name}"
        root = tmp_path / "svc"
        phpkit.service(
            root,
            packages,
            dev,
            config=phpkit.CONFIG,
            files={"lib/Own.php": "<?php class Own {}"},
            autoload={"psr-4": {"App\\": "src/"}, "classmap": ["lib/"]},
            composer=config,
        )
        _ = (root / "cdaf.toml").write_text(
            phpkit.CONFIG.replace('["main.php", "src/**"]', '["main.php", "src/**", "lib/**"]')
        )
        makers.commit(root)
        install = f"composer config -g secure-http false; composer config -g repo.packagist false; {INSTALL} --no-dev"
        if "apcu-autoloader" in config:  # by chance, if it is not told
            told = json.loads((root / "composer.lock").read_bytes())["content-hash"]
            install += f" --apcu-autoloader-prefix={told}"
        same(image(root), composer(root, install))
