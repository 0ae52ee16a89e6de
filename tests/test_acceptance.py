"""examples/orders from commit to published digest: the product's promises, on real parts, as a user runs it."""

import hashlib
import json
import re
import shutil
import tomllib
import urllib.request
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import filelock
import pytest

from cdaf import engine
from tests import acceptance
from tests.acceptance import ask, cdaf, document
from tools import apt

pytestmark = pytest.mark.docker

ACCEPT = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def bundle(shared: Path, tmp_path: Path) -> Path:
    """The bundle of examples/orders, in a folder of the test's own."""
    made = acceptance.packaged("orders", shared)
    return Path(shutil.copy(made, tmp_path))


@pytest.fixture
def tested(shared: Path, bundle: Path) -> Path:
    """The same with its release record: smoke-tested once for all tests of a run."""
    made = acceptance.packaged("orders", shared)
    record = made.with_name(made.name.removesuffix(".cdaf") + ".release.toml")
    with filelock.FileLock(shared / "orders.smoke.busy"):
        if not record.exists():
            cdaf("smoke", made)
    shutil.copy(record, bundle.parent)
    shutil.copytree(record.with_name(record.name.replace(".release.toml", ".smoke")), bundle.parent / "report")
    return bundle


def record_of(bundle: Path) -> Any:
    """The release record beside a bundle."""
    return tomllib.loads(bundle.with_name(bundle.name.removesuffix(".cdaf") + ".release.toml").read_text())


def served(registry: str, repository: str, name: str) -> tuple[str, Any]:
    """What a registry serves under a name, asked without any code of ours: digest by hashing, and the content."""
    asked = urllib.request.Request(f"http://{registry}/v2/{repository}/manifests/{name}", headers={"Accept": ACCEPT})
    with urllib.request.urlopen(asked) as answer:
        data = answer.read()
    return "sha256:" + hashlib.sha256(data).hexdigest(), json.loads(data)


def test_release_publishes_the_digest_that_was_tested(bundle: Path, registry: Any) -> None:
    """One run of `release`: the digest printed, recorded, foretold and served is the same, and skopeo agrees."""
    target = f"{registry.authority}/team/orders"
    printed = cdaf("release", bundle, "--to", f"registry:{target}").stdout.split()
    reference, _, digest = printed[0].partition("@")
    assert (len(printed), reference) == (1, target)

    record = record_of(bundle)
    assert record["digest"] == digest
    assert [each["digest"] for each in record["publications"]] == [digest]
    assert {each["platform"]: each["state"] for each in record["smoke"]} == {
        "linux/amd64": "passed",
        "linux/arm64": "not run",
    }
    assert record["bundle"] == document(cdaf("verify", bundle, "--json").stdout)["identity"]

    found, index = served(registry.authority, "team/orders", digest)
    assert found == digest
    raw = ask([apt.program("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{target}@{digest}"])
    assert "sha256:" + hashlib.sha256(raw.encode()).hexdigest() == digest
    served_platforms = {
        f"{each['platform']['os']}/{each['platform']['architecture']}": each["digest"] for each in index["manifests"]
    }
    manifest = document(cdaf("show", bundle, "--json").stdout)
    foretold = {each["platform"]: each["digest"] for each in manifest["manifest"]["images"]}
    assert served_platforms == foretold == {each["platform"]: each["digest"] for each in record["images"]}

    commit = manifest["manifest"]["source"]["commit"][:12]
    assert served(registry.authority, "team/orders", f"sha-{commit}")[0] == digest
    # Tests that run beside this one have containers of their own, whose owners live.
    assert [each.name for each in engine.leftovers() if "orders" in each.name] == []


def test_smoke_leaves_a_report_that_names_what_was_done(tested: Path) -> None:
    cases = ElementTree.parse(tested.parent / "report" / "junit.xml").getroot().iter("testcase")
    names = [f"{case.get('classname')} {case.get('name')}" for case in cases]
    assert any("round 2" in name or "[2]" in name or "restart" in name for name in names), names
    page = (tested.parent / "report" / "report.html").read_text()
    assert "postgres" in page
    assert not re.search(r"(src|href)=[\"']https?:", page)
    logs = " ".join(path.name for path in (tested.parent / "report" / "logs").rglob("*.log"))
    for container in ("service", "postgres", "redis", "checks"):
        assert container in logs


def test_the_published_image_is_the_loaded_one_and_runs_as_its_user(tested: Path, registry: Any) -> None:
    """Publishing to the engine and to a registry gives one config digest; what runs is neither root nor writable."""
    target = f"{registry.authority}/team/orders"
    engine_id, registry_reference = cdaf(
        "publish", tested, "--to", "engine:cdaf-acceptance", "--to", f"registry:{target}"
    ).stdout.split()
    image_id = engine_id.rpartition("@")[2]
    try:
        _, index = served(registry.authority, "team/orders", registry_reference.partition("@")[2])
        amd64 = next(each for each in index["manifests"] if each["platform"]["architecture"] == "amd64")
        _, manifest = served(registry.authority, "team/orders", amd64["digest"])
        assert image_id in (manifest["config"]["digest"], amd64["digest"])
        run = ["docker", "run", "--rm", "--network=none", "--label=io.cdaf.test", image_id]
        assert ask([*run, "sh", "-c", "id -u; id -g; id -un; pwd"]).split() == ["10001", "10001", "app", "/app"]
        assert ask([*run, "sh", "-c", "touch state/x && echo yes"]).strip() == "yes"
        assert ask([*run, "sh", "-c", "touch /app/x 2>/dev/null || echo no"]).strip() == "no"
        assert ask([*run, "python", "-c", "import psycopg, flask, orders, docopt; print('in')"]).strip() == "in"
        inspected = json.loads(ask(["docker", "image", "inspect", image_id]))[0]["Config"]
        assert inspected["Labels"]["org.opencontainers.image.title"] == "orders"
        assert inspected["Labels"]["io.cdaf.inputs"].startswith("sha256:")
        assert "/healthz" in " ".join(inspected["Healthcheck"]["Test"])
    finally:
        tags = json.loads(ask(["docker", "image", "inspect", image_id]))[0]["RepoTags"]
        ask(["docker", "image", "rm", *[tag for tag in tags if tag.startswith("cdaf-acceptance")]])


def test_publishing_an_untested_digest_is_refused(bundle: Path, registry: Any) -> None:
    refused = cdaf("publish", bundle, "--to", f"registry:{registry.authority}/team/orders", expect=8)
    assert "linux/amd64: its smoke test was not run" in refused.stderr
    with urllib.request.urlopen(f"http://{registry.authority}/v2/_catalog") as answer:
        assert json.load(answer)["repositories"] == []


def test_a_tag_that_names_another_digest_stays(tested: Path, registry: Any) -> None:
    target = f"registry:{registry.authority}/team/orders"
    cdaf("publish", tested, "--to", target)
    commit = document(cdaf("show", tested, "--json").stdout)["manifest"]["source"]["commit"][:12]
    digest, _ = served(registry.authority, "team/orders", f"sha-{commit}")
    _, index = served(registry.authority, "team/orders", digest)
    other = index["manifests"][0]["digest"]
    acceptance.put_manifest(registry.authority, "team/orders", f"sha-{commit}", other)
    refused = cdaf("publish", tested, "--to", target, expect=8)
    assert f"tag sha-{commit} names {other} already" in refused.stderr
    assert served(registry.authority, "team/orders", f"sha-{commit}")[0] == other


def test_the_bundle_proves_itself(bundle: Path) -> None:
    told = ask(["python3", str(bundle), "verify"])
    assert told == cdaf("verify", bundle).stdout
    assert told.startswith("ok sha256:")


def test_the_same_bytes_from_another_place_time_and_user(bundle: Path, shared: Path, tmp_path: Path) -> None:
    """Another folder, umask, time zone, locale and hash seed, and a cold cache: the same file, byte for byte."""
    root = acceptance.locked("orders", tmp_path / "a folder with spaces" / "other", shared)
    odd = {
        "CDAF_CACHE": str(tmp_path / "cold"),
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "7",
        "HOME": str(tmp_path),
        "USER": "somebody",
        "COLUMNS": "40",
        "TERM": "dumb",
    }
    made = Path(cdaf("package", root, env=odd, umask=0o077).stdout.strip())
    assert made.name == bundle.name
    assert made.read_bytes() == bundle.read_bytes()
    assert (made.stat().st_mode & 0o777) == 0o644
