"""Layers by zstd, from the plan to whoever takes them: engine, registry, layout, and a client that is not ours."""

from __future__ import annotations

import io
import json
import tarfile
import time
from pathlib import Path

import msgspec
import pytest
import zstandard

from cdaf import engine, targets
from cdaf.errors import BundleError
from cdaf.images import content, image, listing, oci, plan
from cdaf.images.layers import Promise
from cdaf.images.oci import Image
from tests import bundlekit, makers, stands
from tests.acceptance import ask
from tests.test_image import CONFIG, CONTENTS, LAYERS, planned
from tools import apt, serve

docker = pytest.mark.docker


@pytest.fixture(autouse=True)
def _cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def by_both(wanted: plan.ImagePlan, contents: content.Contents) -> tuple[Image, Image]:
    other = msgspec.structs.replace(wanted, compression="zstd")
    return image.assemble(wanted, contents), image.assemble(other, contents)


def test_the_tars_are_the_same_and_the_blobs_are_not(tmp_path: Path) -> None:
    wheel = makers.archive(tmp_path / "a.whl", {"a/__init__.py": "x = 1\n" * 5000, "a/b.py": ""})
    wanted = planned(layers=(*LAYERS, plan.Layer("a", (plan.Unpack("deps/a.whl", "/a"),))))
    gzipped, zstd = by_both(wanted, {**CONTENTS, "deps/a.whl": content.of_file(wheel)})
    for one, other in zip(gzipped.layers, zstd.layers, strict=True):
        assert (one.diff_id, one.media_type, other.media_type) == (other.diff_id, oci.LAYER_GZIP, oci.LAYER_ZSTD)
        assert one.digest != other.digest
        assert other.path is not None
        assert one.path is not None
        assert listing.read(other.path) == listing.read(one.path)
    assert [each["mediaType"] for each in json.loads(zstd.manifest)["layers"]] == [oci.LAYER_ZSTD] * 3
    assert json.loads(zstd.config)["rootfs"] == json.loads(gzipped.config)["rootfs"]
    assert zstd.digest != gzipped.digest


def test_the_cache_keeps_them_apart_and_gives_each_again() -> None:
    first = by_both(planned(), CONTENTS)
    assert by_both(planned(), CONTENTS) == first
    assert by_both(planned(), CONTENTS)[::-1] != first


def test_one_who_was_promised_them_writes_them_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = planned(compression="zstd")
    made = image.assemble(wanted, CONTENTS)
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "elsewhere"))
    promised = tuple(Promise(each.digest, each.diff_id, each.size) for each in made.layers)
    assert image.assemble(wanted, CONTENTS, promised).digest == made.digest


def test_a_plan_carries_it_and_one_without_is_gzip() -> None:
    plans = plan.Plans(1, (planned(compression="zstd"), planned()))
    encoded = plan.encode(plans)
    assert plan.decode(encoded) == plans
    assert encoded.count(b"compression") == 1
    with pytest.raises(BundleError):
        plan.decode(encoded.replace(b"zstd", b"lzma"))


@pytest.fixture
def stamped(engine: object) -> Image:
    """An image by zstd on the real base that no engine has yet."""
    data = {
        "app/stamp": content.of_bytes(str(time.time_ns()).encode()),
        "app/big": content.of_bytes(b"line\n" * 2_000_000),
    }
    entries = tuple(plan.Place(name, f"/{name}") for name in data)
    config = msgspec.structs.replace(CONFIG, health=None, command=("python", "-c", "pass"))
    wanted = planned(
        base=stands.pinned(stands.PYTHON), layers=(plan.Layer("one", entries),), config=config, compression="zstd"
    )
    return image.assemble(wanted, data)


@docker
def test_the_engine_takes_and_runs_it(stamped: Image) -> None:
    loaded = engine.load(stamped)
    try:
        run = ["docker", "run", "--rm", "--network=none", "--label=io.cdaf.test", loaded]
        assert ask([*run, "python3", "-c", "print(open('/app/big').read().count('line'))"]).strip() == "2000000"
    finally:
        ask(["docker", "image", "rm", loaded])


@docker
def test_registries_layouts_and_other_clients_take_it(stamped: Image, registry: serve.Registry, tmp_path: Path) -> None:
    skopeo = apt.program("skopeo")
    release = targets.Release(bundlekit.sealed(tmp_path), (stamped,))
    for kind, where in (("registry", f"{registry.authority}/team/z"), ("layout", str(tmp_path / "layout"))):
        published = targets.publish(targets.Target(kind, where, ("x",), ()), release)
        assert {each.digest for each in published} == {stamped.digest}
    for number, source in enumerate(
        [f"docker://{registry.authority}/team/z@{stamped.digest}", f"oci:{tmp_path / 'layout'}:x"]
    ):
        ask([skopeo, "copy", "--src-tls-verify=false", source, f"oci:{tmp_path / str(number)}:x"])
        blob = (tmp_path / str(number) / oci.blob_name(stamped.layers[-1].digest)).read_bytes()
        plain = zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True).read()
        assert oci.digest_of(plain) == stamped.layers[-1].diff_id
        with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
            assert tar.getmember("app/big").size == 10_000_000
