"""PHP services as users package them: the example, what stays out, commands of one's own, checks, plugins, init."""

import json
import re
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cdaf.bundles import bundle
from cdaf.images import building
from tests import acceptance, elves, makers, phpkit
from tests.acceptance import cdaf

pytestmark = pytest.mark.docker
CHECKS = '[smoke]\nchecks = ["php", "smoke/check.php"]\n'


@pytest.fixture(autouse=True)
def cache(shared: Path) -> None:
    """All tests of a run have one cache."""
    del shared


def thing(tmp_path: Path, name: str = "acme/thing", files: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    told = {"src/Thing.php": "<?php namespace Acme; class Thing {}", **(files or {})}
    path = phpkit.archive(tmp_path / f"archives/{name.replace('/', '-')}.zip", told)
    return phpkit.entry(name, path, autoload={"psr-4": {"Acme\\": "src/"}}, **more)


def packaged(root: Path, *words: str) -> Path:
    return Path(cdaf("package", root, *words).stdout.strip())


def image(file: Path) -> dict[str, bytes]:
    """The files of an image's own layers."""
    (made,) = building.images(bundle.open(file))
    found: dict[str, bytes] = {}
    for layer in made.layers:
        if layer.path:
            with tarfile.open(layer.path) as tar:
                found |= {each.name: data.read() for each in tar if each.isfile() and (data := tar.extractfile(each))}
    return {name: data for name, data in found.items() if name.startswith("app/")}


def test_the_example_passes_its_checks_beside_its_sidecar(shared: Path, tmp_path: Path) -> None:
    root = acceptance.locked("storefront", tmp_path / "svc", shared)
    told = cdaf("smoke", packaged(root), "--json")
    assert json.loads(told.stdout)
    assert "ignores SIGTERM" not in told.stderr


def test_show_and_the_bill_of_materials_know_composer_s_packages(shared: Path) -> None:
    file = acceptance.packaged("storefront", shared)
    told = json.loads(cdaf("show", file, "--json").stdout)
    text = json.dumps(told)
    assert "pkg:composer/monolog/monolog@3.9.0" in text
    assert "BSD-3-Clause" in text
    members = bundle.open(file).members
    assert "generated/sbom/linux-amd64.cdx.json" in members
    needs = {each["name"]: each.get("requires") for each in told["manifest"]["dependencies"]}
    assert needs["ramsey/uuid"] == ["brick/math", "ramsey/collection"]
    bill = json.loads(cdaf("show", file, "--sbom").stdout)
    assert bill["metadata"]["component"]["licenses"] == [{"license": {"id": "MIT"}}]


def test_dev_packages_and_excluded_files_stay_out(tmp_path: Path) -> None:
    files = {"tests/ThingTest.php": "<?php namespace Acme; class ThingTest {}", "README.md": "x"}
    config = phpkit.CONFIG + '[image]\nexclude = ["*/*/tests/**", "acme/thing/README.md", "idle/**"]\n'
    listed, dev = [thing(tmp_path, files=files)], [thing(tmp_path, "acme/dev")]
    phpkit.service(tmp_path / "svc", listed, dev, config=config)
    done = cdaf("package", tmp_path / "svc")
    found = image(Path(done.stdout.strip()))
    assert "app/vendor/acme/thing/src/Thing.php" in found
    assert not [name for name in found if "acme/dev" in name or "ThingTest" in name or "README" in name]
    assert b"ThingTest" not in found["app/vendor/composer/autoload_classmap.php"]
    assert b"Acme\\\\Thing" in found["app/vendor/composer/autoload_classmap.php"]
    assert b"acme/dev" not in found["app/vendor/composer/installed.json"]
    assert "'idle/**' matches no file" in done.stderr


def test_a_program_may_not_be_excluded(tmp_path: Path) -> None:
    config = phpkit.CONFIG + '[image]\nexclude = ["*/*/bin/**"]\n'
    listed = [thing(tmp_path, files={"bin/x": "#!/bin/sh\n"}, bin=["bin/x"])]
    phpkit.service(tmp_path / "svc", listed, config=config)
    told = cdaf("package", tmp_path / "svc", expect=3)
    assert "bin/x of acme/thing 1.0.0" in told.stderr


def test_commands_of_one_s_own_have_developers_packages(tmp_path: Path) -> None:
    told = "[class_exists('Acme\\\\Thing'), class_exists('AcmeDev\\\\D'), is_file('vendor/bin/x')]"
    made = f"file_put_contents('made/out.php', '<?php // ' . implode(',', {told}));"
    script = f"<?php require 'vendor/autoload.php'; mkdir('made'); {made}"
    inside = {"D.php": "<?php namespace AcmeDev; class D {}", "x": "#!/bin/sh\n"}
    dev = phpkit.archive(tmp_path / "archives/dev.zip", inside)
    entry = phpkit.entry("acme/dev", dev, autoload={"psr-4": {"AcmeDev\\": ""}}, bin=["x"])
    config = phpkit.CONFIG + '[build]\nrun = [["php", "build.php"]]\noutputs = ["made/**"]\n'
    phpkit.service(tmp_path / "svc", [thing(tmp_path)], [entry], config=config, files={"build.php": script})
    found = image(packaged(tmp_path / "svc"))
    assert found["app/made/out.php"] == b"<?php // 1,1,1"
    assert not [name for name in found if "acme/dev" in name or name.startswith("app/vendor/bin/")]


@pytest.mark.parametrize("own", [False, True])
def test_checks_may_have_developers_packages(tmp_path: Path, own: bool) -> None:
    both = "class_exists('AcmeDev\\\\D') && class_exists('Acme\\\\Thing')"
    check = f"<?php require 'vendor/autoload.php'; exit({both} ? 0 : 1);"
    dev = phpkit.archive(tmp_path / "archives/dev.zip", {"D.php": "<?php namespace AcmeDev; class D {}"})
    entry = phpkit.entry("acme/dev", dev, autoload={"psr-4": {"AcmeDev\\": ""}})
    wrong = "if (class_exists('AcmeDev\\\\D')) http_response_code(500);"
    server = f"<?php require __DIR__ . '/vendor/autoload.php'; {wrong} echo 'ok';"
    config = phpkit.CONFIG.replace(
        'start = ["php", "main.php"]', 'start = ["php", "-S", "0.0.0.0:8000", "main.php"]\nport = 8000'
    )
    config += CHECKS + 'health = "/"\ngroup = "dev"\ntimeout = 180\n' + ('image = "php:8.4-cli"\n' if own else "")
    files = {"main.php": server, "smoke/check.php": check}
    phpkit.service(tmp_path / "svc", [thing(tmp_path)], [entry], config=config, files=files)
    cdaf("smoke", packaged(tmp_path / "svc"))


def test_a_plugin_that_is_named_runs(tmp_path: Path) -> None:
    code = """<?php
        namespace AcmePlugin;
        use Composer\\{EventDispatcher\\EventSubscriberInterface, Plugin\\PluginInterface};
        class P implements PluginInterface, EventSubscriberInterface {
        function activate($c, $io) {} function deactivate($c, $io) {} function uninstall($c, $io) {}
        static function getSubscribedEvents() { return ['post-autoload-dump' => 'made']; }
        function made() { file_put_contents('vendor/autoload_runtime.php', '<?php // made'); } }"""
    path = phpkit.archive(tmp_path / "archives/plugin.zip", {"P.php": code})
    more: dict[str, Any] = {
        "type": "composer-plugin",
        "require": {"composer-plugin-api": "^2"},
        "extra": {"class": "AcmePlugin\\P"},
    }
    entry = phpkit.entry("acme/plugin", path, autoload={"psr-4": {"AcmePlugin\\": ""}}, **more)
    config = phpkit.CONFIG + '[php]\nplugins = ["acme/plugin"]\n'
    phpkit.service(tmp_path / "svc", [entry], config=config, composer={"allow-plugins": {"acme/plugin": True}})
    assert image(packaged(tmp_path / "svc"))["app/vendor/autoload_runtime.php"] == b"<?php // made"


def test_an_image_without_composer_says_so(tmp_path: Path) -> None:
    phpkit.service(tmp_path / "svc", [thing(tmp_path)], config=phpkit.CONFIG + '[php]\ncomposer = "php:8.4-cli"\n')
    told = cdaf("package", tmp_path / "svc", expect=4)
    assert "php.composer" in told.stderr


def test_twenty_thousand_small_files(tmp_path: Path) -> None:
    files = {f"src/{number // 100}/f{number}.php": f"<?php // {number}\n" for number in range(20_000)}
    phpkit.service(tmp_path / "svc", [thing(tmp_path, files=files, shasum="")], composer={"optimize-autoloader": False})
    found = image(packaged(tmp_path / "svc"))
    assert len([name for name in found if name.startswith("app/vendor/acme/thing/src/")]) == 20_001


def test_package_check_finds_the_same_bytes_elsewhere(shared: Path, tmp_path: Path) -> None:
    root = acceptance.locked("storefront", tmp_path / "svc", shared)
    told = cdaf("package", root, "--check")
    assert told.stdout.strip().endswith(".cdaf")


def test_no_login_of_composer_s_enters_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "hunter2-canary"
    with phpkit.serving(tmp_path / "archives", login=f"Bearer {canary}") as (url, _):
        entry = thing(tmp_path)
        entry["dist"]["url"] = f"{url.replace('http://', f'http://someone:{canary}@')}/acme-thing.zip"
        entry["dist"]["mirrors"] = [{"url": f"{url}/%prettyVersion%.zip", "preferred": True}]
        (tmp_path / "archives/acme-thing.zip").rename(tmp_path / "archives/1.0.0.zip")
        monkeypatch.setenv("COMPOSER_AUTH", json.dumps({"bearer": {url.removeprefix("http://"): canary}}))
        phpkit.service(tmp_path / "svc", [entry])
        done = cdaf("package", tmp_path / "svc")
    assert canary not in done.stdout + done.stderr
    file = Path(done.stdout.strip())
    assert canary.encode() not in file.read_bytes()
    assert all(canary.encode() not in data for data in image(file).values())


def test_init_knows_a_composer_project(shared: Path, tmp_path: Path) -> None:
    root = acceptance.locked("storefront", tmp_path / "svc", shared)
    (root / "cdaf.toml").unlink()
    cdaf("init", root)
    told = tomllib.loads((root / "cdaf.toml").read_text())
    assert told["service"]["start"] == ["php", "-S", "0.0.0.0:8000", "-t", "public", "public/index.php"]
    assert {"public/**", "src/**", "templates/**"} <= set(told["service"]["include"])
    assert told["image"]["base"] == "php:8.4-cli"
    assert told["smoke"]["health"] == "/healthz"
    assert told["smoke"]["sidecars"] == ["redis:7"]
    assert told["smoke"]["checks"] == ["php", "smoke/check.php"]


def test_check_tells_all_without_fetching(tmp_path: Path) -> None:
    phpkit.service(tmp_path / "svc", [thing(tmp_path)], locked={"content-hash": "0" * 32})
    assert "out of step" in cdaf("check", tmp_path / "svc", expect=3).stderr


def test_a_changed_line_of_the_service_leaves_the_autoloader_alone(shared: Path, tmp_path: Path) -> None:
    root = acceptance.locked("storefront", tmp_path / "svc", shared)
    first = packaged(root)
    path = root / "src/Products.php"
    path.write_text(re.sub("What is on sale", "What can be bought", path.read_text()))
    makers.commit(root)
    one, other = (building.images(bundle.open(file))[0] for file in (first, packaged(root)))
    changed = [new.name for old, new in zip(one.layers, other.layers, strict=True) if old.digest != new.digest]
    assert changed == ["service"]


def test_a_native_program_that_the_base_cannot_run_is_named(tmp_path: Path) -> None:
    foreign = elves.make("s390x", kind=2)
    path = phpkit.archive(
        tmp_path / "archives/native.zip", {"bin/tool": foreign, "lib/x.so": foreign}, executable=("bin/tool",)
    )
    phpkit.service(tmp_path / "svc", [phpkit.entry("acme/native", path, bin=["bin/tool"])])
    told = cdaf("package", tmp_path / "svc", expect=4)
    assert "acme/native/bin/tool" in told.stderr
    (tmp_path / "svc/cdaf.toml").write_text(phpkit.CONFIG + '[image]\nunaudited = ["acme/native/bin/*"]\n')
    makers.commit(tmp_path / "svc")
    assert "acme/native/lib/x.so" in cdaf("package", tmp_path / "svc").stderr


def test_a_native_program_of_the_checks_is_held_against_their_base(tmp_path: Path) -> None:
    path = phpkit.archive(
        tmp_path / "archives/native.zip", {"bin/tool": elves.make("s390x", kind=2)}, executable=("bin/tool",)
    )
    native = phpkit.entry("acme/native", path, bin=["bin/tool"])
    config = phpkit.CONFIG + CHECKS + 'group = "dev"\n'
    phpkit.service(tmp_path / "svc", [thing(tmp_path)], [native], config=config, files={"smoke/check.php": "<?php\n"})
    told = cdaf("package", tmp_path / "svc", expect=4)
    assert ", checks: acme/native 1.0.0: acme/native/bin/tool is for s390x" in told.stderr
    (tmp_path / "svc/cdaf.toml").write_text(config + '[image]\nunaudited = ["acme/native/bin/*"]\n')
    makers.commit(tmp_path / "svc")
    cdaf("package", tmp_path / "svc")
