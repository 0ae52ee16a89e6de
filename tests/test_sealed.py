"""Images that a bundle holds whole: the layout, its index and the manifest have to speak of the same ones."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdaf.bundles import bundle
from cdaf.bundles import manifest as manifests
from cdaf.bundles.manifest import Foretold
from cdaf.errors import BundleError
from cdaf.images import content, oci, plan, sealed
from cdaf.images.oci import Image, Layer
from tests import bundlekit

INDEX, BLOBS = "images/index.json", "images/blobs/sha256/"
BOTH = ("linux/amd64", "linux/arm64")
Members = dict[str, bytes]
NONE = "sha256:" + "0" * 64


def image(folder: Path, platform: str) -> Image:
    """An image of two layers."""
    layers = []
    for number in range(2):
        data = f"layer {number} for {platform}".encode()
        place = folder / hashlib.sha256(data).hexdigest()
        place.write_bytes(data)
        diff_id = "sha256:" + hashlib.sha256(data[::-1]).hexdigest()
        layers.append(Layer(oci.digest_of(data), diff_id, len(data), oci.LAYER, "layer", place))
    told = {"os": "linux", "architecture": platform.partition("/")[2]}
    ids = [each.diff_id for each in layers]
    config = json.dumps({**told, "config": {}, "rootfs": {"type": "layers", "diff_ids": ids}}).encode()
    written = oci.manifest_bytes(oci.config_descriptor(config), layers)
    return Image(platform, oci.digest_of(written), written, config, oci.digest_of(config), tuple(layers))


def members(folder: Path, platforms: tuple[str, ...] = BOTH) -> Members:
    """What a bundle with these images sealed in it holds."""
    images = [image(folder, each) for each in platforms]
    told = tuple(Foretold(platform=each.platform, digest=each.digest, sealed=True) for each in images)
    found = {name: b"".join(content.chunks(each)) for name, each in sealed.members(images).items()}
    own = {"manifest.toml": manifests.encode(bundlekit.manifest(images=told))}
    return bundlekit.members() | own | {"plan.json": plan.encode(plan.Plans(format=1, images=()))} | found


def opened(folder: Path, held: Members) -> bundle.Bundle:
    """The bundle of these members, SHA256SUMS agreeing."""
    place = folder / "made.cdaf"
    place.write_bytes(bundlekit.zipped(bundlekit.pieces(held)))
    return bundle.open(place)


def refused(folder: Path, held: Members) -> str:
    with pytest.raises(BundleError) as caught:
        opened(folder, held)
    assert caught.value.exit_code == 5
    return caught.value.message


def named(held: Members, change: Callable[[Any], object]) -> Members:
    """The same with another index.json."""
    told = json.loads(held[INDEX])
    change(told)
    return {**held, INDEX: json.dumps(told).encode()}


def put(held: Members, data: bytes) -> str:
    """Add a blob and return its digest."""
    digest = oci.digest_of(data)
    held[BLOBS + oci.hexed(digest)] = data
    return digest


@pytest.mark.parametrize("platforms", [BOTH[:1], BOTH, ("linux/arm/v7", "linux/amd64")])
def test_what_sealing_writes_opens(tmp_path: Path, platforms: tuple[str, ...]) -> None:
    assert len(opened(tmp_path, members(tmp_path, platforms)).manifest.images) == len(platforms)


def test_an_index_that_names_another_image(tmp_path: Path) -> None:
    held = members(tmp_path, BOTH[:1])
    own = json.loads(held[INDEX])["manifests"][0]["digest"]
    other = put(held, image(tmp_path, BOTH[1]).manifest)
    told = refused(tmp_path, named(held, lambda index: index["manifests"][0].update(digest=other)))
    assert f"{INDEX}: names {other} for linux/amd64, and the manifest {own}" in told
    assert "names no image" in refused(tmp_path, named(held, lambda index: index["manifests"].clear()))
    assert f"names {own} for linux/s390x" in refused(
        tmp_path, named(held, lambda index: index["manifests"][0]["platform"].update(architecture="s390x"))
    )
    told = refused(tmp_path, named(held, lambda index: index["manifests"].append(index["manifests"][0])))
    assert f"names {own} for linux/amd64, {own} for linux/amd64, and" in told


def test_an_index_of_several_images_that_names_others(tmp_path: Path) -> None:
    held = members(tmp_path)
    inner = json.loads(held[BLOBS + oci.hexed(json.loads(held[INDEX])["manifests"][0]["digest"])])
    inner["manifests"][0]["digest"], inner["manifests"][1]["digest"] = (
        inner["manifests"][1]["digest"],
        inner["manifests"][0]["digest"],
    )
    swapped = put(held, json.dumps(inner).encode())
    told = refused(tmp_path, named(held, lambda index: index["manifests"][0].update(digest=swapped)))
    assert f"{INDEX}: names {inner['manifests'][0]['digest']} for linux/amd64" in told
    nowhere = "sha256:" + "0" * 64
    told = refused(tmp_path, named(held, lambda index: index["manifests"][0].update(digest=nowhere)))
    assert f"{INDEX}: names {nowhere}, which is missing" in told
    alone = inner["manifests"][0]
    assert "names no image" in refused(tmp_path, named(held, lambda index: index.update(manifests=[alone])))


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"manifests": 5}', b'{"manifests": [{"digest": 5}]}', b"[" * 100_000])
def test_what_is_no_index(tmp_path: Path, data: bytes) -> None:
    assert f"{INDEX}: " in refused(tmp_path, {**members(tmp_path, BOTH[:1]), INDEX: data})


def sealed_otherwise(
    tmp_path: Path, change: Callable[[Any], object], listing: Callable[[Any], object] = lambda _: None
) -> Members:
    """One image with another config, or another manifest, of which index and manifest.toml agree."""
    held = members(tmp_path, BOTH[:1])
    old = json.loads(held[INDEX])["manifests"][0]["digest"]
    manifest = json.loads(held.pop(BLOBS + oci.hexed(old)))
    config = json.loads(held.pop(BLOBS + oci.hexed(manifest["config"]["digest"])))
    change(config)
    manifest["config"]["digest"] = put(held, json.dumps(config).encode())
    listing(manifest)
    new = put(held, json.dumps(manifest).encode())
    held["manifest.toml"] = held["manifest.toml"].replace(old.encode(), new.encode())
    return named(held, lambda index: index["manifests"][0].update(digest=new))


def test_a_config_with_more_or_fewer_layers_than_its_image(tmp_path: Path) -> None:
    assert opened(tmp_path, sealed_otherwise(tmp_path, lambda config: config.update(author="x")))
    told = refused(tmp_path, sealed_otherwise(tmp_path, lambda config: config["rootfs"]["diff_ids"].pop()))
    assert "the image of linux/amd64: it has 2 layers, and its config 1" in told
    told = refused(tmp_path, sealed_otherwise(tmp_path, lambda config: config["rootfs"]["diff_ids"].append(NONE)))
    assert "the image of linux/amd64: it has 2 layers, and its config 3" in told
    told = refused(tmp_path, sealed_otherwise(tmp_path, lambda config: config.pop("rootfs")))
    assert "the config of linux/amd64 has no rootfs.diff_ids" in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"os": 5}, "the config of linux/amd64 names no platform"),
        ({"architecture": ["amd64"]}, "the config of linux/amd64 names no platform"),
        ({"architecture": "amd64x"}, "its config is for linux/amd64x"),
        ({"rootfs": {"diff_ids": [1, 2]}}, "the config of linux/amd64 has '1' for a diff id"),
        ({"rootfs": {"diff_ids": ["../../etc", NONE]}}, "the config of linux/amd64 has '../../etc' for a diff id"),
        ({"config": {"Env": 5}}, "the image's config cannot be read"),
    ],
)
def test_configs_that_lie(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    assert told in refused(tmp_path, sealed_otherwise(tmp_path, lambda config: config.update(change)))


def test_a_variant_may_be_left_open(tmp_path: Path) -> None:
    assert opened(tmp_path, sealed_otherwise(tmp_path, lambda config: config.update(variant="v1")))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": 9}, "bytes long, and its manifest says 9"),
        ({"size": -1}, "is not an image manifest"),
        ({"size": "9"}, "is not an image manifest"),
        ({"size": True}, "is not an image manifest"),
        ({"platform": ["linux"]}, "is not an image manifest"),
        ({"digest": NONE}, f"no layer {NONE}"),
        ({"mediaType": "application/x-other"}, "is application/x-other, which is none"),
    ],
)
def test_layers_that_are_not_as_their_manifest_says(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    def lie(manifest: Any) -> None:
        manifest["layers"][0].update(change)

    assert told in refused(tmp_path, sealed_otherwise(tmp_path, lambda _: None, lie))


def test_a_manifest_that_says_it_is_an_index(tmp_path: Path) -> None:
    held = sealed_otherwise(tmp_path, lambda _: None, lambda manifest: manifest.update(mediaType=oci.INDEX))
    assert f"it says that it is {oci.INDEX}" in refused(tmp_path, held)


@pytest.mark.parametrize("platform", [{"os": 5, "architecture": "amd64"}, {"os": "linux", "architecture": [5]}, 5])
def test_an_index_whose_platforms_are_none(tmp_path: Path, platform: object) -> None:
    held = members(tmp_path, BOTH[:1])
    assert f"{INDEX}: " in refused(tmp_path, named(held, lambda index: index["manifests"][0].update(platform=platform)))


def test_what_is_damaged_is_told_as_that_alone(tmp_path: Path) -> None:
    held = members(tmp_path, BOTH[:1])
    place = tmp_path / "made.cdaf"
    data = bundlekit.zipped(bundlekit.pieces(held))
    place.write_bytes(data.replace(held[INDEX], held[INDEX].replace(b"amd64", b"arm64")))
    with pytest.raises(BundleError) as caught:
        bundle.open(place)
    assert caught.value.message.endswith(f"not an intact bundle: {INDEX}: changed after sealing")
