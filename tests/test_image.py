"""The assembler: an image is a function of its plan, its content and its base, and of nothing else."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdaf import store
from cdaf.errors import BundleError, ImageError, ResolveError, UsageError
from cdaf.images import content, image, oci, plan
from tests import makers, oddregistry

CONTENTS = {
    "app/main.py": content.of_bytes(b"print('hello')\n"),
    "generated/passwd": content.of_bytes(b"root:x:0:0::/root:/bin/sh\napp:x:10001:10001::/app:/bin/false\n"),
}
LAYERS = (
    plan.Layer("user", (plan.Place("generated/passwd", "/etc/passwd"), plan.Dir("/app/state", 0o755, 10001, 10001))),
    plan.Layer("service", (plan.Place("app/main.py", "/app/main.py", 0o755), plan.Link("/app/current", "main.py"))),
)
CONFIG = plan.Config(
    command=("python", "/app/main.py"),
    environment={"PATH": "/app/.venv/bin:/usr/bin", "LEVEL": "info"},
    user="10001:10001",
    folder="/app",
    port=8000,
    labels={"org.opencontainers.image.title": "orders"},
    health=plan.Health(("python", "-c", "pass"), interval=10),
)


def planned(**changes: Any) -> plan.ImagePlan:
    wanted = plan.ImagePlan("linux/amd64", plan.BasePin("scratch", ""), LAYERS, CONFIG, "2023-11-14T22:13:20Z")
    return msgspec.structs.replace(wanted, **changes)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def test_the_config_says_what_the_plan_says() -> None:
    made = image.assemble(planned(), CONTENTS)
    config = json.loads(made.config)
    assert (config["architecture"], config["os"], config["created"]) == ("amd64", "linux", "2023-11-14T22:13:20Z")
    runtime = config["config"]
    assert runtime["Cmd"] == ["python", "/app/main.py"]
    assert runtime["User"] == "10001:10001"
    assert runtime["ExposedPorts"] == {"8000/tcp": {}}
    assert runtime["WorkingDir"] == "/app"
    assert set(runtime["Env"]) == {"PATH=/app/.venv/bin:/usr/bin", "LEVEL=info"}
    assert runtime["Healthcheck"]["Test"] == ["CMD", "python", "-c", "pass"]
    assert runtime["Labels"]["org.opencontainers.image.title"] == "orders"
    assert runtime["Labels"][image.INPUTS_LABEL].startswith("sha256:")
    assert [entry["created_by"] for entry in config["history"]] == ["cdaf: user", "cdaf: service"]


def test_every_digest_is_the_digest_of_its_bytes() -> None:
    made = image.assemble(planned(), CONTENTS)
    assert made.digest == oci.digest_of(made.manifest)
    assert made.config_digest == oci.digest_of(made.config)
    diff_ids = json.loads(made.config)["rootfs"]["diff_ids"]
    for layer, diff_id in zip(made.layers, diff_ids, strict=True):
        assert layer.path is not None
        blob = layer.path.read_bytes()
        assert (layer.digest, layer.size) == (oci.digest_of(blob), len(blob))
        assert diff_id == "sha256:" + hashlib.sha256(gzip.decompress(blob)).hexdigest()


def test_a_warm_cache_gives_the_same_image() -> None:
    cold = image.assemble(planned(), CONTENTS)
    assert image.assemble(planned(), CONTENTS) == cold


def test_a_layer_whose_blob_was_lost_or_cut_is_written_again() -> None:
    made = image.assemble(planned(), CONTENTS)
    for damage in (Path.unlink, lambda path: path.write_bytes(b"cut")):
        path = made.layers[0].path
        assert path is not None
        damage(path)
        assert image.assemble(planned(), CONTENTS) == made
        assert oci.digest_of(path.read_bytes()) == made.layers[0].digest


@pytest.mark.parametrize("told", ["", "0", "-1", "two", "65", "²"])
def test_a_number_of_workers_that_is_none(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("CDAF_WORKERS", told)
    with pytest.raises(UsageError, match="CDAF_WORKERS is"):
        image.assemble(planned(), CONTENTS)


@pytest.mark.parametrize(
    "change",
    [
        {"created": "2023-11-14T22:13:21Z"},
        {"config": msgspec.structs.replace(CONFIG, port=8001)},
        {"layers": LAYERS[:1]},
        {"platform": "linux/arm64"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_is_in_the_plan_is_in_the_digest(change: dict[str, Any]) -> None:
    assert image.assemble(planned(**change), CONTENTS).digest != image.assemble(planned(), CONTENTS).digest


def test_content_is_in_the_digest_and_where_it_lies_is_not(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_bytes(CONTENTS["app/main.py"].data)
    elsewhere = {**CONTENTS, "app/main.py": content.of_file(tmp_path / "main.py")}
    assert image.assemble(planned(), elsewhere).digest == image.assemble(planned(), CONTENTS).digest
    other = {**CONTENTS, "app/main.py": content.of_bytes(b"print('bye')\n")}
    assert image.assemble(planned(), other).digest != image.assemble(planned(), CONTENTS).digest


def based(config: bytes, *digests: str) -> plan.BasePin:
    """A base in the cache whose manifest lists layers of these digests, as its registry would have sent it."""
    listed = [{"mediaType": oci.LAYER_GZIP, "digest": digest, "size": 9} for digest in digests]
    described = {"mediaType": oci.CONFIG, "digest": oci.digest_of(config), "size": len(config)}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": described, "layers": listed})
    store.put("blobs", [config])
    store.put("blobs", [manifest.encode()])
    return plan.BasePin("registry.example/base", oci.digest_of(manifest.encode()))


def test_a_base_whose_layer_is_named_like_a_file_of_this_machine() -> None:
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}).encode()
    for digest in ("sha256:/etc/passwd", "sha256:" + "/." * 26 + "//etc/passwd", "sha256:../x", "/etc/passwd"):
        with pytest.raises(ImageError, match="is not an image that can be built on"):
            image.assemble(planned(base=based(config, digest)), CONTENTS)


def of_type(
    media_type: str, config: bytes = b'{"rootfs": {"type": "layers", "diff_ids": ["sha256:1"]}}'
) -> plan.BasePin:
    """A base of one layer of a media type."""
    layer = {"mediaType": media_type, "digest": "sha256:" + "7" * 64, "size": 9}
    described = {"mediaType": oci.CONFIG, "digest": oci.digest_of(config), "size": len(config)}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": described, "layers": [layer]})
    store.put("blobs", [config])
    store.put("blobs", [manifest.encode()])
    return plan.BasePin("registry.example/base", oci.digest_of(manifest.encode()))


@pytest.mark.parametrize(
    "media_type",
    [
        "application/x-odd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.in-toto+json",
        "",
    ],
)
def test_a_base_with_a_layer_of_an_unknown_media_type(media_type: str) -> None:
    with pytest.raises(ImageError) as caught:
        image.assemble(planned(base=of_type(media_type)), CONTENTS)
    assert f"layer sha256:{'7' * 64} is {media_type}" in caught.value.message
    assert "registry.example/base@sha256:" in caught.value.message


@pytest.mark.parametrize("media_type", [oci.LAYER, oci.LAYER_ZSTD, oci.DOCKER_LAYER_GZIP, oci.DOCKER_LAYER])
def test_a_base_with_layers_of_every_known_media_type(media_type: str) -> None:
    made = image.assemble(planned(base=of_type(media_type)), CONTENTS)
    assert json.loads(made.manifest)["layers"][0]["mediaType"] == oci.canonical(media_type)


def test_a_base_for_windows() -> None:
    config = b'{"os": "windows", "rootfs": {"type": "layers", "diff_ids": ["sha256:1"]}}'
    with pytest.raises(ImageError, match="it is for windows, and the image for linux/amd64"):
        image.assemble(planned(base=of_type(oci.LAYER_GZIP, config)), CONTENTS)


@pytest.mark.parametrize("gone", ["manifest", "config"])
def test_a_base_that_its_registry_no_longer_has(monkeypatch: pytest.MonkeyPatch, gone: str) -> None:
    monkeypatch.setenv("CDAF_REGISTRY_MIRRORS", "")
    config = b'{"rootfs": {"type": "layers", "diff_ids": []}}'
    with oddregistry.serving() as server:
        pin = plan.BasePin(f"{server.authority}/base", based(config).digest)
        lost = pin.digest if gone == "manifest" else oci.digest_of(config)
        store.path("blobs", oci.hexed(lost)).unlink()
        with pytest.raises(ResolveError) as caught:
            image.assemble(planned(base=pin), CONTENTS)
    assert f"{server.authority}/base" in caught.value.message
    assert (lost in caught.value.message, caught.value.transient) == (True, False)


@pytest.mark.parametrize(
    "more",
    [{"history": 5}, {"config": {"Env": 5}}, {"config": {"Env": [5]}}, {"config": {"Labels": []}}, {"rootfs": 1}],
)
def test_a_base_whose_config_is_of_other_types(more: dict[str, Any]) -> None:
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": []}, **more}).encode()
    with pytest.raises(ImageError, match="is not an image that can be built on"):
        image.assemble(planned(base=based(config)), CONTENTS)


def test_a_config_of_the_base_that_was_damaged_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    config = json.dumps({"os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    with oddregistry.serving() as server:
        monkeypatch.setenv("CDAF_REGISTRY_MIRRORS", "")
        pin = plan.BasePin(f"{server.authority}/base", based(config).digest)
        server.put("base", config)
        made = image.assemble(planned(base=pin), CONTENTS)
        path = store.path("blobs", oci.hexed(oci.digest_of(config)))
        path.write_bytes(config.replace(b"linux", b"lunix"))
        assert image.assemble(planned(base=pin), CONTENTS) == made
    assert path.read_bytes() == config


@pytest.mark.parametrize("archive", [False, True])
def test_a_bundle_that_changes_meanwhile_leaves_no_wrong_layer_in_the_cache(tmp_path: Path, archive: bool) -> None:
    data = makers.archive(tmp_path / "a.whl", {"a.py": "x = 1\n"}).read_bytes() if archive else b"as it was verified"
    (tmp_path / "bundle").write_bytes(data)
    with (tmp_path / "bundle").open("rb") as file:
        verified = content.stamp(file.fileno())
    whole = content.of_bytes(data)
    part = content.Content(whole.sha256, whole.size, tmp_path / "bundle", stamp=verified)
    layers = (plan.Layer("a", (plan.Unpack("x", "/a") if archive else plan.Place("x", "/a"),)),)
    (tmp_path / "other").write_bytes(data[::-1])
    (tmp_path / "other").replace(tmp_path / "bundle")
    with pytest.raises(BundleError, match="changed since it was verified"):
        image.assemble(planned(layers=layers), {"x": part})
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_plan_read_back_gives_the_same_image() -> None:
    wanted = planned()
    again = plan.decode(plan.encode(plan.Plans(1, (wanted,)))).images[0]
    assert image.assemble(again, CONTENTS) == image.assemble(wanted, CONTENTS)


def test_a_member_that_is_not_there_is_named() -> None:
    with pytest.raises(ImageError, match=r"layer service: the bundle has no app/main\.py"):
        image.assemble(planned(), {"generated/passwd": CONTENTS["generated/passwd"]})


def test_the_checks_stand_on_the_tested_image() -> None:
    tested = image.assemble(planned(), CONTENTS)
    wanted = plan.SmokePlan(
        "linux/amd64", (plan.Layer("checks", (plan.Place("app/main.py", "/app/smoke.py"),)),), {"CI": "1"}, "/app"
    )
    made = image.assemble_smoke(wanted, tested, CONTENTS)
    assert made.layers[:-1] == tested.layers
    runtime = json.loads(made.config)["config"]
    assert "CI=1" in runtime["Env"]
    assert "LEVEL=info" in runtime["Env"]
    assert "Healthcheck" not in runtime
    assert runtime["User"] == "10001:10001"


SCRIPT = """
import sys
from tests.test_image import CONTENTS, planned
from cdaf.images import image
print(image.assemble(planned(), CONTENTS).digest)
"""


def test_nothing_of_the_machine_reaches_the_image(tmp_path: Path) -> None:
    here = image.assemble(planned(), CONTENTS).digest
    for number, (umask, environment) in enumerate(
        [
            (0o077, {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "1"}),
            (0o000, {"TZ": "America/St_Johns", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2"}),
        ]
    ):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, **environment, "CDAF_CACHE": str(tmp_path / str(number))},
            capture_output=True,
            text=True,
            check=True,
            umask=umask,
            cwd=Path(__file__).parents[1],
        )
        assert done.stdout.strip() == here


def test_a_wheel_in_a_slice_of_a_file_is_read_in_place(tmp_path: Path) -> None:
    wheel = makers.archive(tmp_path / "a.whl", {"a/__init__.py": "x = 1\n" * 99}).read_bytes()
    (tmp_path / "bundle").write_bytes(b"before" + wheel + b"after")
    whole = content.of_bytes(wheel)
    part = content.Content(whole.sha256, whole.size, tmp_path / "bundle", offset=6)
    layers = (plan.Layer("a", (plan.Unpack("deps/a.whl", "/a"),)),)
    first = image.assemble(planned(layers=layers), {"deps/a.whl": part})
    store.path("layers", next(iter(sorted((tmp_path / "cache/layers").glob("*/*")))).name).unlink()
    assert image.assemble(planned(layers=layers), {"deps/a.whl": whole}) == first


LARGE = """
import sys
from pathlib import Path
from cdaf.images import content, image, plan
from tests.test_image import CONTENTS, planned
large = content.of_file(Path(sys.argv[1]))
layers = (plan.Layer("large", (plan.Place("app/large", "/app/large"),)),)
made = image.assemble(planned(layers=layers, compression=sys.argv[2]), {"app/large": large})
print(made.layers[0].size)
status = Path("/proc/self/status").read_text()  # ru_maxrss would count the process that started this one
print(status.split("VmHWM:")[1].split()[0])
"""


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_layer_of_more_than_four_gigabytes_takes_little_memory(tmp_path: Path, compression: str) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate((1 << 32) + 1)
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(tmp_path / "large"), compression],
        env={**os.environ, "CDAF_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    size, peak = map(int, done.stdout.split())
    assert 0 < size < 1 << 26
    assert peak < 100 << 10  # KiB
