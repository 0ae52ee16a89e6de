"""Image values: their bytes, and the one tar for every engine."""

import io
import json
import tarfile
from pathlib import Path

import msgspec
import pytest

from cdaf.errors import ImageError
from cdaf.images import oci
from tests import images


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def test_a_manifest_names_config_and_layers_in_order() -> None:
    layer, _ = images.layer({"a": b"1"})
    config = oci.config_descriptor(b"{}")
    found = json.loads(oci.manifest_bytes(config, (layer,)))
    assert list(found) == ["schemaVersion", "mediaType", "config", "layers"]
    assert found["config"] == {"mediaType": oci.CONFIG, "digest": oci.digest_of(b"{}"), "size": 2}
    assert found["layers"][0]["digest"] == layer.digest


def test_a_base_of_the_engines_own_kind_gets_the_media_types_of_oci() -> None:
    layer = msgspec.structs.replace(images.layer({})[0], media_type=oci.DOCKER_LAYER_GZIP)
    assert oci.LAYER_GZIP.encode() in oci.manifest_bytes(oci.config_descriptor(b"{}"), (layer,))


def test_one_platform_is_published_as_its_manifest_and_several_as_an_index() -> None:
    one, two = images.simple(), images.simple(platform="linux/arm64/v8")
    assert oci.published((one,)) == (one.manifest, oci.MANIFEST, one.digest)
    data, media_type, digest = oci.published((one, two))
    assert media_type == oci.INDEX
    assert digest == oci.digest_of(data)
    platforms = [entry["platform"] for entry in json.loads(data)["manifests"]]
    assert platforms == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
    ]
    assert [oci.platform_text(each) for each in platforms] == ["linux/amd64", "linux/arm64/v8"]


def test_one_tar_is_layout_and_docker_archive_at_once() -> None:
    image = images.simple()
    data = b"".join(oci.archive(image, ("docker.io/library/orders:1",)))
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        files = {each.name: found.extractfile(each).read() for each in found if each.isfile()}  # type: ignore[union-attr]
    docker = json.loads(files["manifest.json"])[0]
    assert docker["RepoTags"] == ["orders:1"]
    assert files[docker["Config"]] == image.config
    assert oci.digest_of(files[docker["Layers"][0]]) == image.layers[0].digest
    entry = json.loads(files["index.json"])["manifests"][0]
    assert files["blobs/sha256/" + oci.hexed(entry["digest"])] == image.manifest
    assert entry["annotations"] == {oci.REF_NAME: "1", oci.CONTAINERD_NAME: "docker.io/library/orders:1"}
    assert data == b"".join(oci.archive(image, ("docker.io/library/orders:1",)))


def test_layers_that_the_engine_has_are_left_out_of_the_tar() -> None:
    image = images.simple()
    data = b"".join(oci.archive(image, omit=frozenset({image.layers[0].diff_id})))
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        names = found.getnames()
    assert len([name for name in names if name.startswith("blobs/sha256/")]) == 2


def test_a_damaged_cache_is_no_archive() -> None:
    image = images.simple()
    path = image.layers[0].path
    assert path is not None
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole + b"x", whole[:9] + bytes([whole[9] ^ 1]) + whole[10:]):
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match="damaged"):
            b"".join(oci.archive(image))
        assert not path.exists()
