"""What differs between any two images: in bundles, layouts and a registry; layer by layer, path by path."""

import functools
import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from cdaf import store
from cdaf.bundles import sides
from cdaf.errors import CdafError, ImageError, UsageError
from cdaf.images import compare, layout, oci
from cdaf.images.compare import Change
from cdaf.images.oci import Image, Layer
from tests import images, makers
from tests.acceptance import cdaf, packaged
from tools import serve

DIGEST = {"name": "org.opencontainers.image.base.name", "digest": "org.opencontainers.image.base.digest"}

_SIZED = '"mediaType": "a", "size": 1'


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if not request.node.get_closest_marker("docker"):
        monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


def entry(name: str, data: bytes = b"", **facts: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    for key, value in facts.items():
        setattr(info, key, value)
    return info, data


def layer(entries: list[tuple[tarfile.TarInfo, bytes]], name: str = "", how: str = "gzip") -> Layer:
    """A layer of these entries, in the store; `name` is what the history will call it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        for info, data in entries:
            made.addfile(info, io.BytesIO(data))
    plain = out.getvalue()
    packed = {
        "gzip": lambda: gzip.compress(plain, mtime=0),
        "best": lambda: gzip.compress(plain, 1, mtime=1),
        "zstd": lambda: zstandard.compress(plain),
        "plain": lambda: plain,
    }[how]()
    kind = {"zstd": oci.LAYER_ZSTD, "plain": oci.LAYER}.get(how, oci.LAYER_GZIP)
    _, path = store.put("blobs", [packed])
    diff_id = f"sha256:{hashlib.sha256(plain).hexdigest()}"
    return Layer(oci.digest_of(packed), diff_id, len(packed), kind, name, path)


def image(*layers: Layer, platform: str = "linux/amd64", base: str = "", **runtime: Any) -> Image:
    system, architecture = platform.split("/")
    labels = {DIGEST["name"]: base.partition("@")[0], DIGEST["digest"]: base.partition("@")[2]} if base else {}
    config = msgspec.json.encode(
        {
            "os": system,
            "architecture": architecture,
            "config": {**runtime, "Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
            "history": [{"created_by": each.name} for each in layers],
        }
    )
    described = oci.config_descriptor(config)
    manifest = oci.manifest_bytes(described, layers)
    return Image(platform, oci.digest_of(manifest), manifest, config, described.digest, layers)


def differences(tmp_path: Path, old: Image, new: Image) -> list[Change]:
    for name, each in (("a", old), ("b", new)):
        layout.write(tmp_path / name, [each])
    return sides.differences(str(tmp_path / "a"), str(tmp_path / "b"))


def told(found: list[Change]) -> list[tuple[str, str, str, tuple[str, ...]]]:
    return [(each.sign, each.kind, each.name, each.why) for each in found]


def test_equal_images_and_equal_content_under_another_compression(tmp_path: Path) -> None:
    entries = [entry("a", b"1")]
    assert differences(tmp_path, image(layer(entries)), image(layer(entries))) == []
    for how in ("best", "zstd", "plain"):
        [change] = differences(tmp_path / how, image(layer(entries)), image(layer(entries, how=how)))
        assert told([change]) == [("~", "layer", "layer 1", ("compression",))]


@pytest.mark.parametrize("how", ["gzip", "zstd", "plain"])
def test_in_what_a_path_differs(tmp_path: Path, how: str) -> None:
    old = [
        entry("./same", b"s"),
        entry("content", b"1"),
        entry("mode"),
        entry("owner"),
        entry("time"),
        entry("link", type=tarfile.SYMTYPE, linkname="x"),
        entry("kind"),
        entry("hard", type=tarfile.LNKTYPE, linkname="mode"),
        entry("gone", b"12"),
        entry("gone folder", type=tarfile.DIRTYPE, mode=0o755),
        entry("gone folder/in it"),
        entry("empty", type=tarfile.DIRTYPE, mode=0o700),
    ]
    new = [
        entry("same", b"s"),
        entry("content", b"2"),
        entry("mode", mode=0o4755),
        entry("owner", uid=7, gid=8),
        entry("time", mtime=86400),
        entry("link", type=tarfile.SYMTYPE, linkname="y"),
        entry("kind", type=tarfile.FIFOTYPE),
        entry("hard", type=tarfile.LNKTYPE, linkname="content"),
        entry("more/deep", "é".encode()),
    ]
    found = differences(tmp_path, image(layer(old, "RUN x", how)), image(layer(new, "RUN x", how)))
    assert found[0].kind == "layer"
    assert found[0].why == ("content",)
    assert told(found[1:]) == [
        ("~", "path", "/content", ("content",)),
        ("-", "path", "/empty", ()),
        ("-", "path", "/gone", ()),
        ("-", "path", "/gone folder/in it", ()),
        ("~", "path", "/hard", ("target",)),
        ("~", "path", "/kind", ("kind",)),
        ("~", "path", "/link", ("target",)),
        ("~", "path", "/mode", ("mode",)),
        ("+", "path", "/more/deep", ()),
        ("~", "path", "/owner", ("owner",)),
        ("~", "path", "/time", ("time",)),
    ]
    shown = {each.name: (each.before, each.after) for each in found}
    assert shown["/mode"] == ("mode 0644", "mode 4755")
    assert shown["/owner"] == ("owner 0:0", "owner 7:8")
    assert shown["/time"] == ("time 1970-01-01T00:00:00Z", "time 1970-01-02T00:00:00Z")
    assert shown["/link"] == ("target x", "target y")
    assert shown["/more/deep"] == ("", f"file 0644 0:0 2 B, CRC {zlib.crc32('é'.encode()):08x}")
    assert {each.layer for each in found[1:]} == {"RUN x"}


def test_order_and_form_of_a_layer(tmp_path: Path) -> None:
    one, two = entry("a", b"1"), entry("b", b"2")
    assert told(differences(tmp_path / "1", image(layer([one, two])), image(layer([two, one])))) == [
        ("~", "layer", "layer 1", ("order",))
    ]
    odd = entry("a", b"1", pax_headers={"comment": "x"})
    assert told(differences(tmp_path / "2", image(layer([one])), image(layer([odd])))) == [
        ("~", "layer", "layer 1", ("tar",))
    ]


def test_layers_that_came_went_and_moved(tmp_path: Path) -> None:
    files = {name: [entry(f"lib/{name}", name.encode())] for name in "abcd"}
    named = {name: layer(those, f"cdaf: {name}") for name, those in files.items()}
    both = layer([*files["a"], *files["d"]], "cdaf: rest")
    found = differences(tmp_path, image(named["a"], named["b"], named["c"]), image(named["b"], both))
    assert told(found) == [
        ("-", "layer", "a", ()),
        ("-", "layer", "c", ()),
        ("+", "layer", "rest", ()),
        ("-", "path", "/lib/c", ()),
        ("+", "path", "/lib/d", ()),
    ]


def test_layers_that_equal_each_other_in_name(tmp_path: Path) -> None:
    first, second, other = (layer([entry(name)], "RUN same") for name in ("x", "y", "z"))
    found = differences(tmp_path, image(first, second), image(first, other))
    assert told(found) == [
        ("~", "layer", "RUN same", ("content",)),
        ("-", "path", "/y", ()),
        ("+", "path", "/z", ()),
    ]


def test_config_and_base(tmp_path: Path) -> None:
    files = layer([entry("a")])
    old = image(files, base="python:3.13-slim@sha256:1", Env=["A=1", "B=2"], Cmd=["x"], User="7")
    new = image(files, base="python:3.13-slim@sha256:2", Env=["A=1", "B=3", "C="], Cmd=["x", "y"])
    assert {(each.kind, each.name, each.before, each.after) for each in differences(tmp_path, old, new)} == {
        ("base", "base", "python:3.13-slim@sha256:1", "python:3.13-slim@sha256:2"),
        ("config", "Env.B", '"2"', '"3"'),
        ("config", "Env.C", "", '""'),
        ("config", "Cmd", '["x"]', '["x","y"]'),
        ("config", "User", '"7"', ""),
        ("config", f"Labels.{DIGEST['digest']}", '"sha256:1"', '"sha256:2"'),
    }


def test_platforms_are_compared_each_with_itself(tmp_path: Path) -> None:
    one, other = layer([entry("a", b"1")], "cdaf: s"), layer([entry("a", b"2")], "cdaf: s")
    arm, amd = "linux/arm64", "linux/amd64"
    layout.write(tmp_path / "a", [image(one), image(one, platform=arm)])
    layout.write(tmp_path / "b", [image(other), image(other, platform=arm)])
    found = sides.differences(str(tmp_path / "a"), str(tmp_path / "b"))
    assert [(each.kind, each.platforms) for each in found] == [("layer", (amd, arm)), ("path", (amd, arm))]
    layout.write(tmp_path / "c", [image(one)])
    [gone] = sides.differences(str(tmp_path / "a"), str(tmp_path / "c"))
    assert (gone.sign, gone.kind, gone.name) == ("-", "image", arm)


def test_which_image_of_a_layout(tmp_path: Path) -> None:
    place = tmp_path / "many"
    made = [image(layer([entry("a", data)])) for data in (b"1", b"2")]
    for name, each in zip(("one", "two"), made, strict=True):
        layout.write(place, [each], [name])
    found = sides.differences(f"{place}:one", f"layout:{place}:two")
    assert [each.kind for each in found] == ["layer", "path"]
    assert sides.differences(f"{place}@{made[0].digest}", f"{place}:one") == []
    with pytest.raises(UsageError, match="holds several images") as raised:
        sides.differences(str(place), str(place))
    assert raised.value.hint == f"name one: {place}:one, {place}:two"
    with pytest.raises(UsageError, match="no image three"):
        sides.differences(f"{place}:three", f"{place}:one")


def test_what_is_damaged_or_missing(tmp_path: Path) -> None:
    files = layer([entry("a", b"1" * 5000)])
    for name, each in (("a", image(files)), ("b", image(layer([entry("a", b"2")])))):
        layout.write(tmp_path / name, [each])
    blob = tmp_path / "a" / oci.blob_name(files.digest)
    blob.write_bytes(blob.read_bytes()[:-9] + b"123456789")
    with pytest.raises(ImageError, match="is damaged"):
        sides.differences(str(tmp_path / "a"), str(tmp_path / "b"))
    blob.unlink()
    with pytest.raises(ImageError, match=f"has no blob {files.digest}"):
        sides.differences(str(tmp_path / "a"), str(tmp_path / "b"))
    odd = b"no tar at all" * 100
    _, path = store.put("blobs", [odd])
    wrong = image(Layer(oci.digest_of(odd), oci.digest_of(odd), len(odd), oci.LAYER, "", path))
    with pytest.raises(ImageError, match="cannot be read"):
        differences(tmp_path / "odd", wrong, image(layer([entry("a", b"2")])))
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "index.json").write_text("[]")
    with pytest.raises(UsageError, match="is not an OCI layout"):
        sides.differences(str(tmp_path / "index"), str(tmp_path / "b"))
    with pytest.raises(UsageError, match="No such file"):
        sides.differences("missing.cdaf", str(tmp_path / "b"))
    with pytest.raises(CdafError, match="image reference"):
        sides.differences("registry:h:x/Y Z", str(tmp_path / "b"))


def test_the_table_counts_what_it_does_not_list(tmp_path: Path) -> None:
    many = [entry(f"lib/{number:02}") for number in range(30)]
    for name, each in (("a", image(layer(many, "cdaf: s"))), ("b", image(layer([entry("other")], "cdaf: s")))):
        layout.write(tmp_path / name, [each])
    short = cdaf("diff", tmp_path / "a", tmp_path / "b").stdout
    assert "… 11 more in layer s: --all lists them" in short
    assert len(short.splitlines()) == 1 + 1 + 20 + 1
    assert len(cdaf("diff", tmp_path / "a", tmp_path / "b", "--all").stdout.splitlines()) == 1 + 1 + 31
    told = json.loads(cdaf("diff", tmp_path / "a", tmp_path / "b", "--json").stdout)["changes"]
    assert len(told) == 32
    assert told[0]["why"] == ["content"]


@pytest.mark.parametrize(
    "records",
    [{"mtime": "nan"}, {"mtime": "inf"}, {"GNU.sparse.map": "a,b", "GNU.sparse.size": "5"}],
)
def test_layers_of_no_known_form_end_in_no_traceback(tmp_path: Path, records: dict[str, str]) -> None:
    odd = image(layer([entry("a", b"1", pax_headers=records)]))
    with pytest.raises(ImageError, match="cannot be read"):
        differences(tmp_path, odd, image(layer([entry("a", b"2")])))


def test_a_platform_is_named_once_however_often_a_layer_is_there(tmp_path: Path) -> None:
    twice = layer([entry("b")], "cdaf: s")
    found = differences(tmp_path, image(layer([entry("a")])), image(twice, twice))
    assert {each.platforms for each in found} == {("linux/amd64",)}


@pytest.mark.parametrize(
    "odd",
    [
        {"config": [1]},
        {"config": {"Labels": [1], "Env": 3}},
        {"history": 3},
        {"history": [3, None]},
        {"rootfs": {"diff_ids": {}}},
        {"rootfs": {"diff_ids": ["sha256:1", "sha256:2"]}},
        {"os": {}, "architecture": 7},
    ],
)
def test_configs_of_no_known_form_end_in_no_traceback(tmp_path: Path, odd: dict[str, Any]) -> None:
    made = image(layer([entry("a")]))
    config = msgspec.json.encode({**msgspec.json.decode(made.config), **odd})
    described = oci.config_descriptor(config)
    manifest = oci.manifest_bytes(described, made.layers)
    wrong = Image(made.platform, oci.digest_of(manifest), manifest, config, described.digest, made.layers)
    for name, each in (("a", wrong), ("b", made)):
        layout.write(tmp_path / name, [each])
    with suppress(CdafError):  # and no other
        sides.differences(str(tmp_path / "a"), str(tmp_path / "b"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        f'{{"manifests": [{{"digest": "sha256:../../x", {_SIZED}}}]}}',
        '{"manifests": 3}',
        '{"manifests": [3]}',
        '{"manifests": [{"digest": "x"}]}',
    ],
)
def test_indexes_of_no_known_form_end_in_no_traceback(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(UsageError):
        sides.differences(str(tmp_path), str(tmp_path))


def test_names_of_layers() -> None:
    history = [{"created_by": "cdaf: a"}, {"created_by": "ENV", "empty_layer": True}, {"created_by": "COPY x"}]
    assert compare.names({"history": history}, 2) == [("a", True), ("COPY x", False)]
    assert compare.names({"history": history}, 3) == [("layer 1", False), ("layer 2", False), ("layer 3", False)]


def push(registry: serve.Registry, made: Mapping[str, Image]) -> None:
    from cdaf.registries import upload, wire
    from cdaf.registries.reference import Reference

    for tag, each in made.items():
        where = wire.target(Reference(registry.authority, "team/x", tag))
        config = each.config
        upload.upload(where, oci.config_descriptor(config), functools.partial(io.BytesIO, config))
        for one in each.layers:
            described = oci.Descriptor(one.media_type, one.digest, one.size)
            upload.upload(where, described, functools.partial(io.BytesIO, oci.path_of(one).read_bytes()))
        upload.put_manifest(where, each.manifest, oci.MANIFEST, tag)


def test_a_registry_against_a_layout(tmp_path: Path, registry: serve.Registry) -> None:
    base = layer([entry("base", b"0" * 999)], "ADD base")
    one, two = (image(base, layer([entry("a", data)], "RUN a")) for data in (b"1", b"2"))
    layout.write(tmp_path / "a", [one])
    layout.write(tmp_path / "b", [two], ["second"])
    push(registry, {"one": one, "two": two})
    place = f"{registry.authority}/team/x"
    assert sides.differences(f"{place}:one", str(tmp_path / "a")) == []
    assert sides.differences(f"registry:{place}@{two.digest}", f"{tmp_path / 'b'}:second") == []
    for cached in (store.path("blobs", oci.hexed(each.digest)) for each in (*one.layers, *two.layers)):
        cached.unlink(missing_ok=True)
    found = sides.differences(f"{place}:one", f"{place}:two")
    assert told(found) == [("~", "layer", "RUN a", ("content",)), ("~", "path", "/a", ("content",))]
    assert not store.has("blobs", oci.hexed(base.digest))  # what is equal is not fetched
    with pytest.raises(UsageError, match="nowhere"):
        sides.differences(f"{registry.authority}/team/nowhere:1", f"{place}:one")


@pytest.mark.docker
def test_a_bundle_against_what_it_became(shared: Path, tmp_path: Path) -> None:
    bundle = packaged("orders", shared)
    cdaf("image", bundle, "--layout", tmp_path / "made")
    assert cdaf("diff", bundle, tmp_path / "made").stderr.endswith("no differences\n")
    other = makers.git  # a second commit of the same service
    root = bundle.parent.parent
    again = tmp_path / "again"
    subprocess.run(["git", "clone", "--quiet", str(root), str(again)], check=True)
    other(again, "remote", "remove", "origin")
    (again / "src" / "orders" / "extra.py").write_text("x = 1\n")
    makers.commit(again)
    changed = cdaf("package", again).stdout.strip()
    found = json.loads(cdaf("diff", bundle, changed, "--json").stdout)["changes"]
    paths = {each["name"]: each for each in found if each["kind"] == "path"}
    site = "/app/.venv/lib/python3.13/site-packages/orders"
    assert paths[f"{site}/extra.py"]["owner"] == "orders"
    assert paths[f"{site}/extra.py"]["platforms"] == ["linux/amd64", "linux/arm64"]
    assert all(each["owner"] == "orders" and each["layer"] == "service" for each in paths.values())
    assert {each["name"] for each in found if each["kind"] == "layer"} == {"service"}
    mixed = json.loads(cdaf("diff", tmp_path / "made", changed, "--json").stdout)["changes"]
    assert {each["name"] for each in mixed if each["kind"] == "path"} == set(paths)
    config = {each["name"] for each in found if each["kind"] == "config"}
    assert "Labels.org.opencontainers.image.revision" in config
    assert config <= {each["name"] for each in mixed}


@pytest.mark.docker
def test_an_image_of_the_engine(tmp_path: Path, engine: object) -> None:
    from cdaf import engine as engines

    made = images.simple("of the engine")
    name = "cdaf-test.example/compared:1"
    engines.load(made, [name])
    try:
        layout.write(tmp_path / "a", [made])
        found = sides.differences(f"engine:{name}", str(tmp_path / "a"))
        assert {each.kind for each in found} <= {"layer", "config"}
        assert {each.why for each in found if each.kind == "layer"} <= {("compression",)}
        with pytest.raises(UsageError, match="has no image"):
            sides.differences("engine:cdaf-test.example/nowhere:1", str(tmp_path / "a"))
        bare = name.rpartition(":")[0]
        with pytest.raises(UsageError, match=f"no image {bare}; of that name it has {name}$") as caught:
            sides.differences(f"engine:{bare}", str(tmp_path / "a"))
        assert caught.value.hint == f"name one of them, such as engine:{name}"
    finally:
        subprocess.run(["docker", "rmi", "--force", name], check=True, capture_output=True)
