"""Targets: what the command line may name, and publishing to each kind for real."""

from __future__ import annotations

import hashlib
import http.client as plain_http
import json
import os
import re
import subprocess
import threading
import uuid
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from cdaf import progress, targets
from cdaf.bundles import bundle
from cdaf.bundles import manifest as manifests
from cdaf.bundles.manifest import Dependency, Manifest
from cdaf.errors import CdafError, ImageError, PublishError, UsageError, exit_code
from cdaf.images import layout, oci
from cdaf.images.oci import Image
from cdaf.images.plan import BasePin
from cdaf.net import http
from cdaf.registries import auth, reference, session, upload, wire
from cdaf.settings import settings
from cdaf.targets import Publication, Release, Target
from tests import bundlekit, images, oddregistry
from tests.cutting import cutting
from tests.oddregistry import Fault

if TYPE_CHECKING:
    from tests.conftest import IndexFactory, RegistryFactory
    from tools import serve

SECRET = "geheim-4711-token"
COMMIT = "1a2b3c4d5e6f7a8b9c0d"
PUBLISH = settings.Publish(tags=("sha-{commit}", "{version}"), moving=("latest", "{major}.{minor}"))


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CDAF_REGISTRY_MIRRORS", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("UV_PUBLISH", "UV_INDEX", "CDAF_REGISTRY_U"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(http, "_FIRST_WAIT", 0.001)
    monkeypatch.chdir(tmp_path)
    auth.forget()


def manifest(version: str = "1.4.0", **changes: Any) -> Manifest:
    release = "+" not in version
    source = manifests.Source(
        time="2026-11-01T12:00:00Z", commit=COMMIT, release=release, dirty=version.endswith(".dirty")
    )
    service = manifests.Service(name="orders", version=version, language="python", start=("orders",), port=8000)
    values: dict[str, Any] = {"service": service, "source": source, "publish": PUBLISH, **changes}
    return bundlekit.manifest(**values)


def release(folder: Path, *found: Image, **changes: Any) -> Release:
    made = bundlekit.sealed(folder)
    return Release(msgspec.structs.replace(made, manifest=manifest(**changes)), found or (images.simple(),))


def target(kind: str, where: str) -> Target:
    return Target(kind, where, ("sha-1a2b3c4d5e6f", "1.4.0"), ("latest", "1.4"))


def tags_of(server: Any, repository: str) -> dict[str, str]:
    """What a registry has, asked by another client than cdaf's; without the tags that list referrers."""
    names = ask(server, f"/v2/{repository}/tags/list")[1].get("tags") or []
    return {
        name: ask(server, f"/v2/{repository}/manifests/{name}")[0] for name in names if not name.startswith("sha256-")
    }


def ask(server: Any, path: str) -> tuple[str, Any]:
    connection = plain_http.HTTPConnection(server.authority)
    connection.request("GET", path, headers={"Accept": f"{oci.INDEX}, {oci.MANIFEST}"})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.getheader("Docker-Content-Digest") or "", json.loads(data)


# What may be named


def test_targets_are_kind_and_place_with_the_declared_tags() -> None:
    found = targets.parse(["registry:r.example/team/orders", "layout:out:here", "engine:"], manifest())
    assert [str(each) for each in found] == ["registry:r.example/team/orders", "layout:out:here", "engine:"]
    assert found[0].tags == ("sha-1a2b3c4d5e6f", "1.4.0")
    assert found[0].moving == ("latest", "1.4")


def test_nothing_named_is_what_the_manifest_declares_and_then_layout_and_engine() -> None:
    assert [str(each) for each in targets.parse([], manifest())] == ["layout:", "engine:"]
    declared = msgspec.structs.replace(PUBLISH, to=("registry:r.example/orders",))
    assert [str(each) for each in targets.parse([], manifest(publish=declared))] == ["registry:r.example/orders"]


def test_an_environment_has_targets_and_tags_of_its_own() -> None:
    environments = {
        "TEST": settings.Publish(to=("registry:r.example/test", "layout:x"), tags=(), moving=("test",)),
        "TEST2": settings.Publish(to=("registry:r.example/test2",)),
    }
    found = targets.parse(["TEST"], manifest(environments=environments))
    assert [str(each) for each in found] == ["registry:r.example/test", "layout:x"]
    assert found[0].moving == ("test",)
    with pytest.raises(
        UsageError, match=r"'TEST1' is no kind:where and no environment: .*environments are TEST, TEST2"
    ):
        targets.parse(["TEST1"], manifest(environments=environments))
    with pytest.raises(UsageError, match="'test'"):
        targets.parse(["test"], manifest(environments=environments))


def test_all_faults_of_the_targets_come_at_once() -> None:
    texts = ["regsitry:x/y", "registry:UPPER/Case", "registry:orders", "pypi:", "prod", "registry:r.example/a:tag"]
    with pytest.raises(UsageError) as caught:
        targets.parse([*texts, "engine:Bad Name", "pypi:ftp://x/"], manifest())
    for part in (
        "'regsitry' is not a kind",
        "UPPER",
        "names no host",
        "no index",
        "'prod'",
        "names no tag",
        "Bad Name",
    ):
        assert part in caught.value.message, part
    assert exit_code(caught.value) == 2


@pytest.mark.parametrize("text", ["127.0.0.1:5000/team/orders", "registry.example:5000/orders", "r.example/orders"])
def test_a_registry_by_the_name_that_docker_push_takes_is_told_how_it_is_written(text: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean 'registry:{text}'"):
        targets.parse([text], manifest())
    meant = f"did you mean 'registry:{text}'?"
    assert [each.partition(", ")[2] for each in targets.kind_faults(text)] == [meant]


@pytest.mark.parametrize("where", ["team/orders", "orders", "a/b/c"])
def test_a_registry_without_its_host_is_not_docker_hub(where: str) -> None:
    with pytest.raises(UsageError, match="no host: registry:HOST/REPOSITORY") as caught:
        targets.parse([f"registry:{where}"], manifest())
    assert (f"for Docker Hub, write 'registry:docker.io/{where}'" in caught.value.message) is ("/" in where)
    hosts = ("docker.io", "localhost", "localhost:5000", "r.example")
    assert len(targets.parse([f"registry:{host}/{where}" for host in hosts], manifest())) == len(hosts)


@pytest.mark.parametrize(("text", "meant"), [("team/orders", "HOST/team/orders"), ("r.example/a", "r.example/a")])
def test_what_is_meant_instead_of_an_environment_is_one_that_is_taken(text: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean 'registry:{meant}'"):
        targets.parse([text], manifest())


@pytest.mark.parametrize("text", ["pypi:http://[::1", "pypi:https://h:99999/", "pypi:http:///x"])
def test_half_an_address_is_a_fault_like_others(text: str) -> None:
    with pytest.raises(UsageError, match="not a URL of http or https"):
        targets.parse([text], manifest())


def test_what_fails_below_publishing_is_an_error_of_publishing(tmp_path: Path) -> None:
    with oddregistry.serving() as odd:
        odd.faults.append(Fault("POST", "uploads", 9, 202, {"Location": "file:///x"}))
        with pytest.raises(CdafError) as caught:
            targets.publish(target("registry", f"{odd.authority}/orders"), release(tmp_path))
    assert exit_code(caught.value) == 8


@pytest.mark.parametrize("text", [f"registry:user:{SECRET}@r.example/a", f"pypi:https://me:{SECRET}@i.example/"])
def test_a_login_on_the_command_line_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(UsageError, match="login") as caught:
        targets.parse([text], manifest())
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    ("version", "fixed", "moving"),
    [
        ("1.4.0", ("sha-1a2b3c4d5e6f", "1.4.0"), ("latest", "1.4")),
        ("1.4.0+g1a2b3c4d5e6f", ("sha-1a2b3c4d5e6f",), ()),
        ("1.4.0+g1a2b3c4d5e6f.dirty", (), ()),
    ],
)
def test_only_a_release_has_every_tag(version: str, fixed: tuple[str, ...], moving: tuple[str, ...]) -> None:
    (found,) = targets.parse(["engine:"], manifest(version))
    assert (found.tags, found.moving) == (fixed, moving)


def test_a_dirty_tree_has_no_tag_though_its_commit_is_a_release() -> None:
    source = manifests.Source(time="2026-11-01T12:00:00Z", commit=COMMIT, release=True, dirty=True)
    declared = settings.Publish(tags=("checked", "{version}", "sha-{commit}"), moving=("latest",))
    (found,) = targets.parse(["engine:"], manifest(source=source, publish=declared))
    assert (found.tags, found.moving) == ((), ())


def test_a_tag_that_cannot_be_one_is_a_fault() -> None:
    odd = settings.Publish(tags=("{version}", "a b", "{nope}"), moving=("{version}",))
    with pytest.raises(UsageError) as caught:
        targets.parse(["engine:"], manifest(publish=odd))
    assert all(part in caught.value.message for part in ("'a b'", "{nope}", "both as moving and as not"))


# layout


def test_a_layout_by_default_beside_the_bundle(tmp_path: Path) -> None:
    made = release(tmp_path / "dist")
    (found,) = targets.publish(target("layout", ""), made)
    folder = tmp_path / "dist" / "orders-1.4.0.oci"
    digest = made.images[0].digest
    assert found == Publication(
        f"layout:{folder}", f"{folder}@{digest}", digest, ("sha-1a2b3c4d5e6f", "1.4.0", "latest", "1.4"), "created"
    )
    assert layout.tags(folder)["1.4.0"] == digest
    assert targets.publish(target("layout", ""), made)[0].state == "present"


def test_what_is_foretold_is_what_is_published(registry: serve.Registry, tmp_path: Path) -> None:
    made = release(tmp_path / "dist")
    for each in (target("layout", ""), target("layout", "out"), target("registry", f"{registry.authority}/team/x")):
        (planned,) = targets.foretell(each, made)
        assert planned.state == "planned"
        assert targets.publish(each, made) == (msgspec.structs.replace(planned, state="created"),)


def test_a_tag_in_a_layout_stays_and_a_moving_one_moves(tmp_path: Path) -> None:
    targets.publish(target("layout", "out"), release(tmp_path / "dist", images.simple("1")))
    with pytest.raises(PublishError) as caught:
        targets.publish(target("layout", "out"), release(tmp_path / "dist", images.simple("2")))
    assert all(f"tag {tag} names" in caught.value.message for tag in ("sha-1a2b3c4d5e6f", "1.4.0"))
    second = images.simple("2")
    targets.publish(Target("layout", "out", ("1.5.0",), ("latest",)), release(tmp_path / "dist", second))
    assert layout.tags(tmp_path / "out")["latest"] == second.digest


# registry


def test_an_image_goes_to_a_real_registry_with_its_tags(registry: serve.Registry, tmp_path: Path) -> None:
    made = release(tmp_path / "dist")
    where = f"{registry.authority}/team/orders"
    (found,) = targets.publish(target("registry", where), made)
    digest = made.images[0].digest
    assert found == Publication(
        f"registry:{where}", f"{where}@{digest}", digest, ("sha-1a2b3c4d5e6f", "1.4.0", "latest", "1.4"), "created"
    )
    assert tags_of(registry, "team/orders") == dict.fromkeys(found.tags, digest)
    (again,) = targets.publish(target("registry", where), made)
    assert again.state == "present"
    assert again.reference == found.reference


def test_a_blob_that_vanished_from_the_cache_is_said(registry: serve.Registry, tmp_path: Path) -> None:
    made = release(tmp_path / "dist")
    gone = made.images[0].layers[0].path
    assert gone is not None
    gone.unlink()
    with pytest.raises(PublishError, match="is gone from the cache") as caught:
        targets.publish(target("registry", f"{registry.authority}/team/gone"), made)
    assert exit_code(caught.value) == 75


@pytest.mark.parametrize("damage", ["one bit", "cut", "a bit of a large one"])
def test_a_damaged_blob_of_the_cache_is_not_published_and_made_anew(
    registry: serve.Registry, tmp_path: Path, monkeypatch: Any, damage: str
) -> None:
    monkeypatch.setattr(session, "CHUNK", 20 if "large" in damage else session.CHUNK)
    made = release(tmp_path / "dist")
    spoilt = made.images[0].layers[0].path
    assert spoilt is not None
    whole = spoilt.read_bytes()
    spoilt.write_bytes(whole[:9] if damage == "cut" else whole[:9] + bytes([whole[9] ^ 1]) + whole[10:])
    with pytest.raises(ImageError, match="damaged") as caught:
        targets.publish(target("registry", f"{registry.authority}/team/damaged"), made)
    assert caught.value.transient
    assert not spoilt.exists()


def test_blobs_go_up_side_by_side(registry: serve.Registry, tmp_path: Path, monkeypatch: Any) -> None:
    """Each of four uploads waits for the other three before it closes."""
    together, real = threading.Barrier(4, timeout=60), session.close

    def close(where: Any, current: Any, blob: Any, opened: Any) -> None:
        if blob.digest in own:
            together.wait()
        real(where, current, blob, opened)

    image = images.image(tuple(images.layer({f"app/{name}": name.encode()})[0] for name in "abc"))
    own = {image.config_digest, *(layer.digest for layer in image.layers)}
    monkeypatch.setattr(session, "close", close)
    (found,) = targets.publish(target("registry", f"{registry.authority}/team/orders"), release(tmp_path, image))
    assert found.state == "created"


def test_an_index_for_both_platforms(registry: serve.Registry, tmp_path: Path) -> None:
    shared, _ = images.layer({"app/shared": b"1"})
    both = tuple(images.image((shared,), platform) for platform in ("linux/amd64", "linux/arm64"))
    (found,) = targets.publish(target("registry", f"{registry.authority}/orders"), release(tmp_path, *both))
    digest, index = ask(registry, f"/v2/orders/manifests/{found.digest}")
    assert digest == found.digest == oci.published(both)[2]
    assert [entry["digest"] for entry in index["manifests"]] == [image.digest for image in both]
    for entry in index["manifests"]:
        assert ask(registry, f"/v2/orders/manifests/{entry['digest']}")[0] == entry["digest"]


def test_a_tag_that_names_another_digest_stays_and_nothing_is_sent(registry: serve.Registry, tmp_path: Path) -> None:
    where = f"{registry.authority}/team/orders"
    targets.publish(Target("registry", where, ("1.4.0",), ("latest",)), release(tmp_path, images.simple("1")))
    before = tags_of(registry, "team/orders")
    blobs = sorted(registry.storage.rglob("blobs/sha256/*/*"))
    with pytest.raises(PublishError, match=r"tag 1.4.0 names sha256:\w+ already") as caught:
        targets.publish(target("registry", where), release(tmp_path, images.simple("2")))
    assert exit_code(caught.value) == 8
    assert tags_of(registry, "team/orders") == before
    assert sorted(registry.storage.rglob("blobs/sha256/*/*")) == blobs


def test_a_moving_tag_moves_and_what_it_named_stays(registry: serve.Registry, tmp_path: Path) -> None:
    where = f"{registry.authority}/team/orders"
    one, two = images.simple("1"), images.simple("2")
    targets.publish(Target("registry", where, ("1",), ("latest",)), release(tmp_path, one))
    (found,) = targets.publish(Target("registry", where, ("2",), ("latest",)), release(tmp_path, two))
    assert found.state == "created"
    assert tags_of(registry, "team/orders") == {"1": one.digest, "2": two.digest, "latest": two.digest}


def test_an_interrupted_publication_is_finished_by_the_next(tmp_path: Path) -> None:
    with oddregistry.serving() as odd:
        made = release(tmp_path)
        odd.faults.append(Fault("PUT", "/manifests/1.4.0", status=400))
        where = f"{odd.authority}/team/orders"
        with pytest.raises(PublishError):
            targets.publish(target("registry", where), made)
        sent = odd.count("PUT", "/blobs/")
        (found,) = targets.publish(target("registry", where), made)
        assert found.state == "created"
        assert odd.count("PUT", "/blobs/") == sent
        assert {name for _, name in odd.manifests if not name.startswith("sha256")} == set(found.tags)
        assert targets.publish(target("registry", where), made)[0].state == "present"


def test_a_bases_layers_are_mounted_where_the_base_lives_on_the_same_registry(tmp_path: Path) -> None:
    with oddregistry.serving() as odd:
        below, data = images.layer({"base": b"1"}, kept=False)
        odd.put("base/python", data)
        pin = BasePin(f"{odd.authority}/base/python:3", "sha256:" + "b" * 64)
        image = images.image((below, images.layer({"app": b""})[0]), base=pin)
        targets.publish(target("registry", f"{odd.authority}/team/orders"), release(tmp_path, image))
        assert odd.blobs["team/orders", below.digest] == data
        assert odd.count("GET", "/blobs/") == 0
        mine = {digest for where, digest in odd.blobs if where == "team/orders"}
        assert {below.digest, image.config_digest, image.layers[1].digest} < mine
        assert below.digest not in {
            each.query["digest"][0] for each in odd.asked if each.method == "PUT" and each.query
        }


@pytest.mark.parametrize("there", ["mounted", "held"])
def test_a_bases_layers_are_never_downloaded_where_the_target_has_them(
    registry: serve.Registry, registry_factory: RegistryFactory, tmp_path: Path, monkeypatch: Any, there: str
) -> None:
    """Counted on the lines to two real registries: nothing is read of the base, and it does not go up either."""
    data = os.urandom(2_000_000)
    below = images.layer({"base": data}, kept=False)
    bases = registry if there == "mounted" else registry_factory()
    with cutting(registry.authority) as line, cutting(bases.authority) as source:
        base_line = line if there == "mounted" else source
        at = "base/python" if there == "mounted" else "team/orders"
        blob = oci.Descriptor(oci.LAYER_GZIP, below[0].digest, below[0].size)
        upload.upload(wire.target(reference.parse(f"{registry.authority}/{at}")), blob, lambda: BytesIO(below[1]))
        pin = BasePin(f"{base_line.authority}/base/python:3", "sha256:" + "b" * 64)
        image = images.image((below[0], images.layer({"app": b"1"})[0]), base=pin)
        (found,) = targets.publish(target("registry", f"{line.authority}/team/orders"), release(tmp_path, image))
        assert found.digest == image.digest
        assert line.count("GET", "/blobs/") == source.count("GET", "/blobs/") == 0
        assert max(line.up, line.down) < 100_000
        assert source.up == source.down == 0
    assert ask(registry, f"/v2/team/orders/manifests/{image.digest}")[0] == image.digest


def test_a_bases_layers_are_fetched_where_they_cannot_be_mounted(tmp_path: Path) -> None:
    with oddregistry.serving(mounts=False) as odd, oddregistry.serving() as bases:
        below, data = images.layer({"base": b"1"}, kept=False)
        bases.put("base/python", data)
        pin = BasePin(f"{bases.authority}/base/python:3", "sha256:" + "b" * 64)
        image = images.image((below,), base=pin)
        targets.publish(target("registry", f"{odd.authority}/team/orders"), release(tmp_path, image))
        assert odd.blobs["team/orders", below.digest] == data
        targets.publish(target("layout", "out"), release(tmp_path, image))
        assert (tmp_path / "out" / "blobs" / "sha256" / oci.hexed(below.digest)).read_bytes() == data


def test_a_registry_that_refuses_us(registry_factory: RegistryFactory, tmp_path: Path, monkeypatch: Any) -> None:
    server = registry_factory(user="ci", password=SECRET)
    where = f"{server.authority}/team/orders"
    with pytest.raises(PublishError, match=re.escape(server.authority)) as caught:
        targets.publish(target("registry", where), release(tmp_path))
    assert "docker login" in caught.value.hint
    monkeypatch.setenv("CDAF_REGISTRY_USERNAME", "ci")
    monkeypatch.setenv("CDAF_REGISTRY_PASSWORD", SECRET)
    (found,) = targets.publish(target("registry", where), release(tmp_path))
    assert SECRET not in str(found)


# engine


@pytest.fixture
def repository(engine: object) -> Iterator[str]:
    """A name of the test's own in the local engine; every tag of it goes at the end."""
    name = f"cdaf-test/{uuid.uuid4().hex[:12]}"
    yield name
    listed = subprocess.run(["docker", "images", "-q", name], check=True, capture_output=True, text=True).stdout.split()
    for found in sorted(set(listed)):
        subprocess.run(["docker", "image", "rm", "--force", found], check=True, capture_output=True)


@pytest.mark.docker
def test_the_local_engine_gets_the_image_under_its_id(repository: str, tmp_path: Path, monkeypatch: Any) -> None:
    image = images.simple(uuid.uuid4().hex)
    smoke = manifests.Smoke(declared=settings.Smoke(sidecars=("postgres:17", "redis:7"), secrets=("API_TOKEN",)))
    made = release(tmp_path, images.simple("arm", "linux/arm64"), image, smoke=smoke)
    (found,) = targets.publish(target("engine", repository), made)
    assert found.state == "created"
    assert found.digest == image.digest
    shown = subprocess.run(["docker", "inspect", f"{repository}:1.4.0"], check=True, capture_output=True).stdout
    assert json.loads(shown)[0]["Id"] == found.reference
    assert found.hint == (
        f"docker run --rm -p 8000:8000 -e DATABASE_URL=… -e REDIS_URL=… -e API_TOKEN=… {repository}:sha-1a2b3c4d5e6f"
    )
    assert targets.publish(target("engine", repository), made)[0].state == "present"
    said: list[str] = []

    class Telling(progress.Silent):
        def warn(self, text: str) -> None:
            said.append(text)

    monkeypatch.setattr(progress, "_sink", Telling())
    (moved,) = targets.publish(target("engine", repository), release(tmp_path, images.simple(f"other {repository}")))
    assert moved.state == "created"
    assert [text.split()[0] for text in said] == [f"{repository}:sha-1a2b3c4d5e6f", f"{repository}:1.4.0"]


@pytest.mark.docker
def test_without_tags_the_engine_gets_latest_and_a_tag_of_ones_own_moves(repository: str, tmp_path: Path) -> None:
    for text in ("1", "2"):
        made = release(tmp_path, images.simple(text + repository))
        assert targets.publish(Target("engine", repository), made)[0].tags == ("latest",)
        assert targets.publish(target("engine", f"{repository}:dev"), made)[0].tags == ("dev",)


@pytest.mark.docker
def test_what_a_dirty_tree_made_does_not_take_the_newest_name(repository: str, tmp_path: Path) -> None:
    clean, dirty = images.simple("clean" + repository), images.simple("dirty" + repository)
    targets.publish(Target("engine", repository), release(tmp_path, clean))
    (found,) = targets.publish(
        Target("engine", repository), release(tmp_path, dirty, version="1.4.0+g1a2b3c4d5e6f.dirty")
    )
    assert found.tags == ("dirty",)
    named = ["docker", "images", repository, "--format", "{{.Tag}}"]
    told = subprocess.run(named, check=True, capture_output=True, text=True).stdout.split()
    assert sorted(told) == ["dirty", "latest"]
    shown = subprocess.run(["docker", "inspect", f"{repository}:latest"], check=True, capture_output=True).stdout
    assert json.loads(shown)[0]["Id"] in {clean.config_digest, clean.digest}


@pytest.mark.docker
def test_an_engine_that_runs_none_of_the_platforms(engine: object, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="there are images for windows/arm64"):
        targets.publish(target("engine", "x"), release(tmp_path, images.simple(platform="windows/arm64")))


# pypi


def wheel(text: str = "1") -> bytes:
    info = "orders-1.4.0.dist-info"
    files = {
        "orders/__init__.py": f"x = {text}\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: orders\nVersion: 1.4.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in files.items():
            made.writestr(zipfile.ZipInfo(name), content)  # with a fixed time: calls are compared
    return out.getvalue()


def packaged(folder: Path, data: bytes, version: str = "1.4.0") -> Release:
    archive = "deps/orders-1.4.0-py3-none-any.whl"
    own = Dependency(
        name="Orders",
        version="1.4.0",
        purl="pkg:pypi/orders@1.4.0",
        archive=archive,
        sha256=hashlib.sha256(data).hexdigest(),
        platforms=("linux/amd64",),
    )
    told = manifest(version, dependencies=(*bundlekit.manifest().dependencies, own))
    made = bundle.seal(folder, told, bundlekit.plans(), {**bundlekit.CONTENT, archive: data})
    return Release(made, (images.simple(),))


def published(index: serve.PackageIndex) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in index.folder.iterdir() if path.is_file()}


def test_the_services_wheel_goes_to_a_real_index(package_index: serve.PackageIndex, tmp_path: Path) -> None:
    data = wheel()
    made = packaged(tmp_path, data)
    (chosen,) = targets.parse([f"pypi:{package_index.upload}"], made.bundle.manifest)
    (planned,) = targets.foretell(chosen, made)
    assert published(package_index) == {}
    (found,) = targets.publish(chosen, made)
    assert found.state == "created"
    assert (planned.target, planned.digest, planned.state) == (found.target, found.digest, "planned")
    assert planned.reference.rpartition("/")[2] == found.reference.rpartition("/")[2]
    assert found.digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert found.reference.endswith("orders-1.4.0-py3-none-any.whl#sha256=" + hashlib.sha256(data).hexdigest())
    assert published(package_index) == {"orders-1.4.0-py3-none-any.whl": data}
    assert targets.publish(chosen, made)[0].state == "present"


def test_other_bytes_under_the_same_name_are_refused(package_index: serve.PackageIndex, tmp_path: Path) -> None:
    where = Target("pypi", package_index.upload)
    targets.publish(where, packaged(tmp_path, wheel("1")))
    with pytest.raises(PublishError, match="already with other bytes"):
        targets.publish(where, packaged(tmp_path, wheel("2")))
    assert published(package_index) == {"orders-1.4.0-py3-none-any.whl": wheel("1")}


def test_an_index_by_its_name_with_a_login(
    package_index_factory: IndexFactory, tmp_path: Path, monkeypatch: Any
) -> None:
    server = package_index_factory(user="ci", password=SECRET)
    (tmp_path / "uv.toml").write_text(
        f'[[index]]\nname = "own"\nurl = "{server.simple}"\npublish-url = "{server.upload}"\n'
    )
    made = packaged(tmp_path, wheel())
    (chosen,) = targets.parse(["pypi:own"], made.bundle.manifest)
    with pytest.raises(PublishError, match="did not take orders-") as caught:
        targets.publish(chosen, made)
    assert caught.value.hint.startswith("set UV_PUBLISH_TOKEN")
    assert not caught.value.transient
    monkeypatch.setenv("UV_INDEX_OWN_USERNAME", "ci")
    monkeypatch.setenv("UV_INDEX_OWN_PASSWORD", "wrong-" + SECRET)
    with pytest.raises(PublishError) as caught:
        targets.publish(chosen, made)
    assert SECRET not in caught.value.message + caught.value.hint + caught.value.output
    monkeypatch.setenv("UV_INDEX_OWN_PASSWORD", SECRET)
    (found,) = targets.publish(chosen, made)
    assert found.state == "created"
    assert SECRET not in str(found)
    with pytest.raises(UsageError, match="uv is configured with own"):
        targets.parse(["pypi:other"], made.bundle.manifest)


def test_an_index_that_nobody_serves_is_transient(tmp_path: Path, free_port: int) -> None:
    with pytest.raises(CdafError) as caught:
        targets.publish(Target("pypi", f"http://127.0.0.1:{free_port}/"), packaged(tmp_path, wheel()))
    assert exit_code(caught.value) == 75


def test_a_service_without_a_wheel_and_a_snapshot_have_no_place_on_an_index(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no wheel of orders itself"):
        targets.parse(["pypi:http://127.0.0.1/"], manifest())
    snapshot = packaged(tmp_path, wheel(), "1.4.0+g1a2b3c4d5e6f").bundle.manifest
    with pytest.raises(UsageError, match=r"would take the place of release 1\.4\.0"):
        targets.parse(["pypi:http://127.0.0.1/"], snapshot)
