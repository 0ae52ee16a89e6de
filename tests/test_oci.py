"""Image values: their bytes, layouts on disk, and the one tar for every engine."""

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdaf import oci
from cdaf.errors import ImageError, PublishError
from tests import images


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


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


def test_a_layout_holds_every_blob_under_its_digest(tmp_path: Path) -> None:
    folder = tmp_path / "dist" / "orders.oci"
    both = (images.simple(), images.simple("other", "linux/arm64"))
    assert oci.write_layout(folder, both, ("1.4.0", "latest")) == "created"
    assert read(folder / "oci-layout") == {"imageLayoutVersion": "1.0.0"}
    entries = read(folder / "index.json")["manifests"]
    assert [entry["annotations"][oci.REF_NAME] for entry in entries] == ["1.4.0", "latest"]
    assert {entry["digest"] for entry in entries} == {oci.published(both)[2]}
    blobs = list((folder / "blobs" / "sha256").iterdir())
    assert len(blobs) == 1 + 3 * 2
    assert all(oci.hexed(oci.digest_of(blob.read_bytes())) == blob.name for blob in blobs)
    assert not [each for each in folder.parent.iterdir() if each != folder]


def test_a_layout_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        oci.write_layout(tmp_path / name, (images.simple(),), ("1",))
    contents = [
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("a", "b")
    ]
    assert contents[0] == contents[1]


def test_a_layout_is_added_to_and_what_is_there_is_present(tmp_path: Path) -> None:
    first, second = images.simple("1"), images.simple("2")
    folder = tmp_path / "layout"
    assert oci.write_layout(folder, (first,), ("1", "latest")) == "created"
    assert oci.write_layout(folder, (first,), ("1", "latest")) == "present"
    assert oci.write_layout(folder, (second,), ("2", "latest")) == "created"
    assert oci.layout_tags(folder) == {"1": first.digest, "2": second.digest, "latest": second.digest}
    assert oci.write_layout(folder, (first,), ("1",)) == "present"


def test_a_layout_with_a_blob_lost_is_mended(tmp_path: Path) -> None:
    image = images.simple()
    oci.write_layout(tmp_path / "layout", (image,))
    lost = tmp_path / "layout" / "blobs" / "sha256" / oci.hexed(image.layers[0].digest)
    lost.write_bytes(lost.read_bytes()[:-1])
    assert oci.write_layout(tmp_path / "layout", (image,)) == "created"
    assert oci.digest_of(lost.read_bytes()) == image.layers[0].digest


def test_a_layout_shares_no_file_with_the_cache(tmp_path: Path) -> None:
    image = images.simple()
    oci.write_layout(tmp_path / "layout", (image,))
    blob = tmp_path / "layout" / "blobs" / "sha256" / oci.hexed(image.layers[0].digest)
    assert image.layers[0].path is not None
    assert not os.path.samefile(blob, image.layers[0].path)  # noqa: PTH121


@pytest.mark.parametrize(
    "content", [{"notes.txt": "mine"}, {"oci-layout": "{}"}, {"oci-layout": "[", "index.json": "{"}]
)
def test_a_folder_of_something_else_is_refused(tmp_path: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(PublishError, match="not an OCI layout"):
        oci.write_layout(tmp_path, (images.simple(),))
    assert content.items() <= {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}.items()


def test_a_base_that_is_not_in_the_cache_leaves_no_half_layout(tmp_path: Path) -> None:
    layer = msgspec.structs.replace(images.layer({"a": b""})[0], path=None)
    with pytest.raises(ImageError, match="not in the cache"):
        oci.write_layout(tmp_path / "layout", (images.image((layer,)),))
    assert not [path for path in tmp_path.iterdir() if path.name != "cache"]


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
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ImageError, match="damaged"):
        b"".join(oci.archive(image))
