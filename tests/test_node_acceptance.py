"""examples/catalog from commit to published digest, on real parts, as a user runs it."""

import json
import re
import shutil
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests import acceptance, makers
from tests.acceptance import cdaf, document
from tools import npm

pytestmark = pytest.mark.docker


@pytest.fixture
def bundle(shared: Path, tmp_path: Path) -> Path:
    """The bundle of examples/catalog, in a folder of the test's own."""
    return Path(shutil.copy(acceptance.packaged("catalog", shared), tmp_path))


def test_release_publishes_what_was_tested(bundle: Path, registry: Any) -> None:
    where = f"{registry.authority}/team/catalog"
    [printed] = cdaf("release", bundle, "--to", f"registry:{where}").stdout.split()
    digest = printed.partition("@")[2]
    record = tomllib.loads(bundle.with_name(bundle.name.removesuffix(".cdaf") + ".release.toml").read_text())
    assert record["digest"] == digest
    assert {each["platform"]: each["state"] for each in record["smoke"]} == {
        "linux/amd64": "passed",
        "linux/arm64": "not run",
    }
    assert cdaf("image", bundle).stdout.strip() == digest


def test_what_is_in_the_bundle(bundle: Path) -> None:
    lock = json.loads((acceptance.CHECKOUT / "examples/catalog/package-lock.json").read_text())
    assert len(lock["packages"]) > 60
    with zipfile.ZipFile(bundle) as opened:
        manifest = tomllib.loads(opened.read("manifest.toml").decode())
        bills = {name: json.loads(opened.read(name)) for name in opened.namelist() if name.endswith(".cdx.json")}
    found = {each["name"]: each for each in manifest["dependencies"]}
    assert found["@node-rs/argon2-linux-x64-gnu"]["platforms"] == ["linux/amd64"]
    assert found["@node-rs/argon2-linux-arm64-gnu"]["platforms"] == ["linux/arm64"]
    assert not {"esbuild", "preact", "@node-rs/argon2-linux-x64-musl"} & found.keys()
    known = {(key.rpartition("node_modules/")[2], each["version"]): each for key, each in lock["packages"].items()}
    for each in manifest["dependencies"]:
        entry = known[each["name"], each["version"]]
        assert each["hash"].startswith("sha512:")
        assert each["license"] == entry["license"]
        assert each["purl"] == f"pkg:npm/{each['name'].replace('@', '%40')}@{each['version']}"
    assert "qs" in found["express"]["requires"]
    assert {bill.partition("linux-")[2] for bill in bills} == {"amd64.cdx.json", "arm64.cdx.json"}
    purls = {each["purl"] for each in bills["generated/sbom/linux-amd64.cdx.json"]["components"] if "purl" in each}
    assert any(purl.startswith("pkg:npm/express@5.") for purl in purls)
    (own,) = bills["generated/sbom/linux-amd64.cdx.json"]["metadata"]["component"]["licenses"]
    assert own == {"license": {"id": "MIT"}}


def test_show_names_packages_with_their_licences(bundle: Path) -> None:
    shown = cdaf("show", bundle).stdout
    assert re.search(r"express\s+5\.", shown)
    files = cdaf("show", bundle, "--files").stdout
    assert "/app/public/catalog.js" in files
    assert "/app/node_modules/express/package.json" in files
    assert "esbuild" not in files
    told = document(cdaf("show", bundle, "--json").stdout)
    assert told.get("manifest", told)["service"]["language"] == "node"


def test_nothing_of_the_machine_s_registry_or_login_is_sealed(shared: Path, tmp_path: Path) -> None:
    root = acceptance.locked("catalog", tmp_path / "catalog", shared)
    home = tmp_path / "home"
    makers.write(home, {".npmrc": "//nobody.example/:_authToken=canary-4711\n"})
    env = {"HOME": str(home), "npm_config_registry": npm.registry(), "CANARY": "canary-4711"}
    makers.write(root, {".npmrc": "//other.example/:_authToken=${CANARY}\n"})
    makers.commit(root)
    told = cdaf("package", root, env=env)
    with zipfile.ZipFile(told.stdout.strip()) as opened:
        assert not any(b"canary-4711" in opened.read(name) for name in opened.namelist())
    assert "canary-4711" not in told.stderr


def test_check_and_init_know_the_language(tmp_path: Path) -> None:
    root = acceptance.example("catalog", tmp_path / "catalog")
    cdaf("check", root)
    (root / "cdaf.toml").unlink()
    cdaf("init", root)
    told = tomllib.loads((root / "cdaf.toml").read_text())
    assert told["service"]["start"] == ["node", "src/server.js"]
    assert told["service"]["port"] == 3000
    assert told["smoke"]["sidecars"] == ["postgres:17"]
    assert told["smoke"]["health"] == "/healthz"
