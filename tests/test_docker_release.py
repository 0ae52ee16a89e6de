"""Dockerfile services past the bundle: sealed images are verified, shown, tested and published as any other."""

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdaf.bundles import bundle
from cdaf.errors import BundleError
from tests import acceptance, bundlekit, dockerkit, makers
from tests.acceptance import ask, cdaf, document
from tools import apt, serve

pytestmark = pytest.mark.docker
BLOBS = "images/blobs/sha256/"


@pytest.fixture
def gateway(shared: Path, tmp_path: Path) -> Path:
    """The bundle of examples/gateway, in a folder of the test's own."""
    return Path(shutil.copy(acceptance.packaged("gateway", shared), tmp_path))


@pytest.fixture
def tiny(shared: Path, tmp_path: Path) -> Path:
    """A bundle with one sealed image of one layer on scratch."""
    del shared
    root = dockerkit.service(tmp_path / "tiny", 'FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n')
    return dockerkit.package(root).path


def record_of(made: Path) -> Any:
    return tomllib.loads(made.with_name(made.name.removesuffix(".cdaf") + ".release.toml").read_text())


def test_release_publishes_the_digest_that_was_sealed_and_tested(gateway: Path, registry: serve.Registry) -> None:
    where = f"{registry.authority}/team/gateway"
    [printed] = cdaf("release", gateway, "--to", f"registry:{where}").stdout.split()
    digest = printed.partition("@")[2]
    record = record_of(gateway)
    assert record["digest"] == digest
    states = {each["platform"]: each["state"] for each in record["smoke"]}
    assert states == {"linux/amd64": "passed", "linux/arm64": "not run"}
    raw = json.loads(ask([apt.program("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{printed}"]))
    sealed = {each.platform: each.digest for each in bundle.open(gateway).manifest.images}
    served = {f"linux/{each['platform']['architecture']}": each["digest"] for each in raw["manifests"]}
    assert served == sealed
    assert cdaf("image", gateway).stdout.strip() == digest
    assert cdaf("release", gateway, "--to", f"registry:{where}", "--dry-run").stdout.strip().endswith(printed)


def test_what_is_published_says_what_it_is(gateway: Path, registry: serve.Registry) -> None:
    where = f"{registry.authority}/gateway"
    cdaf("release", gateway, "--to", f"registry:{where}")
    told = json.loads(
        ask([apt.program("skopeo"), "inspect", "--config", "--tls-verify=false", _tagged(where, gateway)])
    )
    labels = told["config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == "gateway"
    assert labels["org.opencontainers.image.revision"] == bundle.open(gateway).manifest.source.commit
    assert not [name for name in labels if name.startswith("io.cdaf.")]
    assert told["config"]["User"] == "10001:10001"
    assert told["config"]["Entrypoint"] == ["/gateway"]


def _tagged(where: str, made: Path) -> str:
    commit = bundle.open(made).manifest.source.commit
    assert commit
    return f"docker://{where}:sha-{commit[:12]}"


def test_show_tells_what_is_known_and_what_is_not(gateway: Path) -> None:
    told = cdaf("show", gateway).stdout
    assert "sealed, built without network" in told
    assert "golang:1.24" in told
    files = document(cdaf("show", "--files", "--platform", "linux/arm64", "--json", gateway).stdout)
    [program] = files["files"]["linux/arm64"]
    assert (program["path"], program["mode"], program["owner"]) == ("/gateway", "0755", "service")
    assert program["origin"].startswith(BLOBS)
    bill = document(cdaf("show", "--sbom", "--platform", "linux/amd64", gateway).stdout)
    [amd64] = [each for each in bundle.open(gateway).manifest.images if each.platform == "linux/amd64"]
    component = bill["metadata"]["component"]
    assert component["hashes"] == [{"alg": "SHA-256", "content": amd64.digest.removeprefix("sha256:")}]
    assert bill["compositions"] == [{"aggregate": "unknown", "assemblies": ["service"]}]
    assert cdaf("show", "--sbom", gateway, expect=2).stdout == ""


def test_the_launcher_and_other_tools_read_the_layout(gateway: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, gateway, "verify"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ok")
    with zipfile.ZipFile(gateway) as opened:
        opened.extractall(tmp_path / "unpacked")
    layout = f"oci:{tmp_path / 'unpacked' / 'images'}"
    index = json.loads(ask([apt.program("skopeo"), "inspect", "--raw", layout]))
    assert len(index["manifests"]) == 2


def test_diff_of_two_sealed_images_names_paths_and_settings(shared: Path, tmp_path: Path) -> None:
    del shared
    text = 'FROM scratch\nCOPY hello /hello\nENV LEVEL={}\nCMD ["/hello"]\n'
    root = dockerkit.service(tmp_path / "svc", text.format("info"))
    first = Path(shutil.copy(dockerkit.package(root).path, tmp_path / "one.cdaf"))
    makers.write(root, {"Dockerfile": text.format("debug"), "hello": "another\n"})
    makers.commit(root)
    second = dockerkit.package(root).path
    told = cdaf("diff", first, second).stdout
    for part in ("/hello", "locks/Dockerfile", "Env.LEVEL", "debug", "COPY hello /hello"):
        assert part in told
    assert cdaf("diff", first, first).stdout.strip() == ""
    cdaf("image", first, "--layout", tmp_path / "layout")
    assert cdaf("diff", first, tmp_path / "layout").stdout.strip() == ""


def test_a_changed_blob_is_damage(tiny: Path) -> None:
    [layer] = bundle.open(tiny).manifest.images[0].layers
    member = bundle.open(tiny).members[f"{BLOBS}{layer.digest.removeprefix('sha256:')}"]
    data = bytearray(tiny.read_bytes())
    data[member.offset + member.size // 2] ^= 1
    tiny.write_bytes(data)
    for command in ("verify", "image", "smoke", "release"):
        told = cdaf(command, tiny, expect=5).stderr
        assert f"{member.name}: changed after sealing" in told


Change = Callable[[dict[str, bytes], str, str], None]


def _other_digest(content: dict[str, bytes], digest: str, layer: str) -> None:
    del layer
    content["manifest.toml"] = content["manifest.toml"].replace(digest.encode(), b"0" * 64)


def _no_layer(content: dict[str, bytes], digest: str, layer: str) -> None:
    del content[BLOBS + layer], digest


def _no_config(content: dict[str, bytes], digest: str, layer: str) -> None:
    config = json.loads(content[BLOBS + digest])["config"]["digest"].removeprefix("sha256:")
    del content[BLOBS + config], layer


def _renamed(content: dict[str, bytes], digest: str, layer: str) -> None:
    del digest
    content[BLOBS + layer] = b"other bytes"


def _manifest_of_layer(content: dict[str, bytes], digest: str, layer: str) -> None:
    content["manifest.toml"] = content["manifest.toml"].replace(digest.encode(), layer.encode())


def _odd_config(content: dict[str, bytes], digest: str, layer: str) -> None:
    del layer
    manifest = json.loads(content.pop(BLOBS + digest))
    config = json.loads(content.pop(BLOBS + manifest["config"]["digest"].removeprefix("sha256:")))
    data = json.dumps({**config, "config": {"Env": 5}}).encode()
    manifest["config"] |= {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
    made = json.dumps(manifest).encode()
    for each in (data, made):
        content[BLOBS + hashlib.sha256(each).hexdigest()] = each
    for name in ("manifest.toml", "images/index.json"):
        content[name] = content[name].replace(digest.encode(), hashlib.sha256(made).hexdigest().encode())


def _other_index(content: dict[str, bytes], digest: str, layer: str) -> None:
    content["images/index.json"] = content["images/index.json"].replace(digest.encode(), layer.encode())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_odd_config, "config cannot be read"),
        (_other_digest, "0 is missing"),
        (_other_index, "images/index.json: names sha256:"),
        (_no_layer, "is missing"),
        (_renamed, "holds other bytes than its name says"),
        (_no_config, "is missing"),
        (_manifest_of_layer, "is not"),
    ],
)
def test_what_was_sealed_wrong_is_refused(tiny: Path, change: Change, told: str) -> None:
    """Everything agrees with SHA256SUMS; the image does not agree with itself."""
    opened = bundle.open(tiny)
    content = {name: bundle.data(opened, name) for name in opened.members if name != "SHA256SUMS"}
    [image] = opened.manifest.images
    change(content, image.digest.removeprefix("sha256:"), image.layers[0].digest.removeprefix("sha256:"))
    tiny.write_bytes(bundlekit.zipped(bundlekit.pieces(content)))
    done = cdaf("image", tiny, expect=5)
    assert told in done.stderr
    assert done.stdout == ""


def test_opening_says_all_that_is_missing_of_an_image(tiny: Path) -> None:
    opened = bundle.open(tiny)
    content = {name: bundle.data(opened, name) for name in opened.members if not name.startswith("images/")}
    content.pop("SHA256SUMS")
    tiny.write_bytes(bundlekit.zipped(bundlekit.pieces(content)))
    with pytest.raises(BundleError) as caught:
        bundle.open(tiny)
    assert len(re.findall(r"image of linux/amd64: images/\S+ is missing", caught.value.message)) == 3


def test_up_and_commands_that_come_first_and_an_entry_point(shared: Path, tmp_path: Path) -> None:
    """`before` is a whole command, which an image's entry point does not swallow; a health check of its own counts."""
    del shared
    text = (
        f"FROM {dockerkit.PYTHON}\nCOPY hello /srv/hello\nUSER 10001\nEXPOSE 8000\n"
        "HEALTHCHECK CMD python3 -c 'import urllib.request as r; r.urlopen(\"http://127.0.0.1:8000/hello\")'\n"
        'ENTRYPOINT ["python3", "-m", "http.server", "-d", "/srv"]\nCMD ["8000"]\n'
    )
    more = '[smoke]\nhealth = "/hello"\nbefore = [["test", "-f", "/srv/hello"]]\nchecks = ["cat", "/srv/hello"]\n'
    root = dockerkit.service(tmp_path / "svc", text, more, config=f"{dockerkit.CONFIG}port = 8000\n")
    made = dockerkit.package(root).path
    cdaf("smoke", made)
    failing = (root / "cdaf.toml").read_text().replace('"-f", "/srv/hello"', '"-f", "/nowhere"')
    (root / "cdaf.toml").write_text(failing)
    makers.commit(root)
    assert "`test -f /nowhere` exited with code 1" in cdaf("smoke", dockerkit.package(root).path, expect=7).stderr
    with subprocess.Popen(
        [sys.executable, "-m", "cdaf", "up", made], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            assert running.stdout is not None
            url = running.stdout.readline().strip()
            with urllib.request.urlopen(f"{url}/hello") as answer:
                assert answer.read() == b"hello\n"
        finally:
            running.send_signal(signal.SIGINT)
            running.communicate()
    assert running.returncode == 0


def test_an_untested_sealed_image_is_refused(gateway: Path, tmp_path: Path) -> None:
    done = cdaf("publish", gateway, "--to", f"layout:{tmp_path / 'layout'}", expect=8)
    assert "its smoke test was not run" in done.stderr


def test_an_image_without_a_shell_that_does_not_answer(shared: Path, tmp_path: Path) -> None:
    """A container of scratch that cannot start is the image's fault, and told as such."""
    del shared
    text = 'FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n'
    more = '[smoke]\nhealth = "/"\ntimeout = 5\n'
    root = dockerkit.service(tmp_path / "svc", text, more, config=f"{dockerkit.CONFIG}port = 8000\n")
    done = cdaf("release", dockerkit.package(root).path, "--to", f"layout:{tmp_path / 'layout'}", expect=7)
    assert not (tmp_path / "layout").exists()
    assert done.stdout == ""


def test_packaged_twice_by_check(shared: Path, tmp_path: Path) -> None:
    del shared
    root = dockerkit.service(tmp_path / "svc")
    cdaf("lock", root)
    makers.commit(root)
    assert "packaged twice, in unlike conditions" in cdaf("package", root, "--check").stderr
    random = f"FROM {dockerkit.PYTHON} AS b\nRUN head -c 8 /dev/urandom > /odd\nFROM scratch\nCOPY --from=b /odd /odd\n"
    makers.write(root, {"Dockerfile": random})
    makers.commit(root)
    told = cdaf("package", root, "--check", expect=3).stderr
    assert "/odd" in told
    assert "cannot be reproduced" in told


def test_init_writes_what_package_takes(tmp_path: Path) -> None:
    text = "FROM scratch\nCOPY hello /\nEXPOSE 8080\n"
    root = makers.repository(tmp_path, {"Dockerfile": text, "hello": "", "main.go": 'mux.Handle("GET /healthz", x)'})
    cdaf("init", root)
    written = (root / "cdaf.toml").read_text()
    assert "port = 8080  # from EXPOSE in Dockerfile" in written
    assert 'health = "/healthz"' in written
    assert "start" not in tomllib.loads(written)["service"]
    makers.commit(root)
    makers.git(root, "tag", "v1.2.0")
    cdaf("check", root)
