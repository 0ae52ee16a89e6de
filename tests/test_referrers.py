"""What refers to an image: attached to registries with the referrers API and without, listed, and put into layouts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from cdaf import progress, targets
from cdaf.bundles import sbom
from cdaf.errors import CdafError, PublishError
from cdaf.images import artifacts, layout, oci
from cdaf.images.oci import Descriptor, Image
from cdaf.net import http
from cdaf.registries import reference, referrers, upload, wire
from cdaf.registries.wire import Repository
from cdaf.targets import Release, Target
from cdaf.targets._attached import BUNDLE, IDENTITY
from tests import acceptance, bundlekit, images, oddregistry
from tests.oddregistry import Fault, Odd
from tools import apt

if TYPE_CHECKING:
    from tools import serve

SBOM = sbom.MEDIA_TYPE
BILL = b'{"bomFormat":"CycloneDX"}'


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(http, "_FIRST_WAIT", 0.001)


@pytest.fixture
def odd() -> Iterator[Odd]:
    with oddregistry.serving() as found:
        yield found


def place(server: Any) -> Repository:
    return wire.target(reference.parse(f"{server.authority}/team/orders"))


def subject(image: Image) -> Descriptor:
    return Descriptor(oci.MANIFEST, image.digest, len(image.manifest))


def attach(where: Repository, image: Image, data: bytes = BILL, kind: str = SBOM) -> str:
    return referrers.attach(where, subject(image), kind, data, kind).digest


def digests(where: Repository, image: Image, kind: str = "") -> list[str]:
    return [each.digest for each in referrers.listed(where, image.digest, kind)]


def tag_of(image: Image) -> str:
    return "sha256-" + oci.hexed(image.digest)


def test_the_tag_is_that_of_the_specification() -> None:
    assert artifacts.tag("sha256:" + "a" * 64) == "sha256-" + "a" * 64
    assert artifacts.tag("sha512:" + "b" * 128) == "sha512-" + "b" * 64
    odd = "test+algorithm+using+algorithm+separators+and+lots:also=Some"
    assert artifacts.tag(odd) == "test-algorithm-using-algorithm-s-also-Some"


def test_an_artifacts_manifest_is_as_the_specification_has_it_and_always_the_same() -> None:
    image = images.simple()
    made = artifacts.Artifact(SBOM, SBOM, BILL, {"b": "2", "a": "1"})
    assert json.loads(artifacts.manifest(made, subject(image))) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": SBOM,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "size": 2,
        },
        "layers": [{"mediaType": SBOM, "digest": "sha256:" + hashlib.sha256(BILL).hexdigest(), "size": len(BILL)}],
        "subject": {"mediaType": oci.MANIFEST, "digest": image.digest, "size": len(image.manifest)},
        "annotations": {"a": "1", "b": "2"},
    }
    other = artifacts.Artifact(SBOM, SBOM, BILL, {"a": "1", "b": "2"})
    assert artifacts.manifest(made, subject(image)) == artifacts.manifest(other, subject(image))


@pytest.mark.parametrize("api", [True, False])
def test_attached_is_listed_once_by_type_and_by_image(odd: Odd, api: bool) -> None:
    odd.referrers = api
    where, image, other = place(odd), images.simple(), images.simple("other")
    assert digests(where, image) == []
    first = attach(where, image)
    second = attach(where, image, b"{}", "application/x-other")
    assert attach(where, image) == first
    assert sorted(digests(where, image)) == sorted([first, second])
    assert digests(where, image, SBOM) == [first]
    assert digests(where, other) == []
    assert (("team/orders", tag_of(image)) in odd.manifests) is not api


def test_a_registry_that_filters_not_and_lists_by_pages(odd: Odd) -> None:
    odd.referrers, odd.filters, odd.page = True, False, 1
    where, image = place(odd), images.simple()
    first, second = attach(where, image), attach(where, image, b"{}", "application/x-other")
    assert digests(where, image, SBOM) == [first]
    assert sorted(digests(where, image)) == sorted([first, second])
    assert odd.count("GET", "/referrers/") == 4


def test_a_real_registry_without_the_api_lists_by_a_tag(registry: serve.Registry) -> None:
    where, image = place(registry), images.simple()
    first, second = attach(where, image), attach(where, image, b"{}", "application/x-other")
    assert attach(where, image) == first
    assert digests(where, image) == [first, second]
    with wire.request(where, "GET", f"manifests/{tag_of(image)}", {"Accept": oci.INDEX}) as answer:
        index = json.loads(http.read(answer))
    assert [each["artifactType"] for each in index["manifests"]] == [SBOM, "application/x-other"]


def test_what_another_writes_at_the_same_moment_stays(odd: Odd) -> None:
    """The condition is refused where the registry heeds it."""
    odd.etags = True
    where, image = place(odd), images.simple()
    theirs = artifacts.referrer(artifacts.Artifact("application/x-theirs", "text/plain", b"1"), subject(image))

    def meanwhile(name: str) -> None:
        if name == tag_of(image):
            odd.before_put = lambda _: None
            odd.put_manifest("team/orders", name, artifacts.added(None, (theirs,), "it"), oci.INDEX)

    odd.before_put = meanwhile
    mine = attach(where, image)
    assert digests(where, image) == [theirs.digest, mine]


def test_a_list_that_was_overwritten_is_written_again(odd: Odd) -> None:
    """Where it heeds none, the list is read back."""
    where, image = place(odd), images.simple()
    odd.faults.append(Fault("PUT", f"/manifests/{tag_of(image)}", status=201))
    mine = attach(where, image)
    assert digests(where, image) == [mine]


def test_a_list_that_always_changes_is_transient(odd: Odd) -> None:
    odd.faults.append(Fault("PUT", "/manifests/sha256-", times=99, status=412))
    with pytest.raises(PublishError, match="is being changed by others") as caught:
        attach(place(odd), images.simple())
    assert caught.value.transient


@pytest.mark.parametrize("there", [b"{", b'{"manifests": [{"digest": 1}]}', b'{"layers": []}'])
def test_something_else_under_that_tag_is_a_failure_and_lists_nothing(odd: Odd, there: bytes) -> None:
    where, image = place(odd), images.simple()
    odd.put_manifest("team/orders", tag_of(image), there, oci.INDEX)
    assert digests(where, image) == []
    with pytest.raises(PublishError, match="is not an image index"):
        attach(where, image)
    assert odd.manifests["team/orders", tag_of(image)][0] == there


def test_a_page_for_people_is_no_list(odd: Odd) -> None:
    odd.faults.append(Fault("GET", "/referrers/", status=200, headers={"Content-Type": "text/html"}, body=b"<html>"))
    assert digests(place(odd), images.simple()) == []


def test_a_list_without_end(odd: Odd) -> None:
    index = b'{"schemaVersion":2,"manifests":[]}'
    told = {"Content-Type": oci.INDEX, "Link": '</v2/team/orders/referrers/x>; rel="next"'}
    odd.faults.append(Fault("GET", "/referrers/", times=999, status=200, headers=told, body=index))
    with pytest.raises(CdafError, match="without end"):
        digests(place(odd), images.simple())


# With what is published


def made(folder: Path, *found: Image) -> Release:
    content = {sbom.name(each.platform): BILL + each.platform.encode() for each in found}
    return Release(bundlekit.sealed(folder, content), found)


def both() -> tuple[Image, ...]:
    shared, _ = images.layer({"app/shared": b"1"})
    return tuple(images.image((shared,), platform) for platform in ("linux/amd64", "linux/arm64"))


@pytest.mark.parametrize("api", [True, False])
def test_the_bill_of_materials_and_the_bundle_are_published_with_the_image(odd: Odd, tmp_path: Path, api: bool) -> None:
    odd.referrers = api
    release, where = made(tmp_path, *both()), place(odd)
    target = Target("registry", f"{odd.authority}/team/orders", ("1",))
    (found,) = targets.publish(target, release)
    for image in release.images:
        (bill,) = referrers.listed(where, image.digest)
        assert bill.artifact_type == SBOM
        told = json.loads(odd.manifests["team/orders", bill.digest][0])
        assert odd.blobs["team/orders", told["layers"][0]["digest"]] == BILL + image.platform.encode()
    (link,) = referrers.listed(where, found.digest)
    assert (link.artifact_type, link.annotations) == (BUNDLE, {IDENTITY: release.bundle.identity})
    told = json.loads(odd.manifests["team/orders", link.digest][0])
    assert json.loads(odd.blobs["team/orders", told["layers"][0]["digest"]])["bundle"] == release.bundle.identity
    before = odd.count("PUT", "")
    assert targets.publish(target, release)[0].state == "present"
    assert odd.count("PUT", "") == before


def test_the_tag_comes_after_what_refers_to_it(odd: Odd, tmp_path: Path) -> None:
    targets.publish(Target("registry", f"{odd.authority}/team/orders", ("1",)), made(tmp_path, images.simple()))
    assert [each.path for each in odd.asked if each.method == "PUT"][-1].endswith("/manifests/1")


def test_a_registry_that_takes_no_artifacts_has_the_image_all_the_same(
    odd: Odd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Telling(progress.Silent):
        def warn(self, text: str) -> None:
            said.append(text)

    monkeypatch.setattr(progress, "_sink", Telling())
    image, real = images.simple(), upload.put

    def refusing(where: Repository, data: bytes, media_type: str, name: str) -> Any:
        if b"artifactType" in data:
            raise PublishError("the registry takes images alone")
        return real(where, data, media_type, name)

    monkeypatch.setattr(upload, "put", refusing)
    (found,) = targets.publish(Target("registry", f"{odd.authority}/team/orders", ("1",)), made(tmp_path, image))
    assert found.digest == image.digest
    assert f"{SBOM}, {BUNDLE} is not attached to {image.digest}: the registry takes images alone" in said


def test_a_bundle_without_a_bill_of_materials(odd: Odd, tmp_path: Path) -> None:
    image = images.simple()
    targets.publish(Target("registry", f"{odd.authority}/team/orders"), Release(bundlekit.sealed(tmp_path), (image,)))
    assert [each.artifact_type for each in referrers.listed(place(odd), image.digest)] == [BUNDLE]


def test_a_layout_has_both_and_keeps_what_others_attached(tmp_path: Path) -> None:
    release = made(tmp_path / "dist", *both())
    target = Target("layout", str(tmp_path / "out"), ("1",))
    (found,) = targets.publish(target, release)
    blobs = tmp_path / "out" / "blobs" / "sha256"
    for image in release.images:
        index = json.loads((blobs / oci.hexed(layout.tags(tmp_path / "out")[tag_of(image)])).read_bytes())
        (bill,) = index["manifests"]
        manifest = json.loads((blobs / oci.hexed(bill["digest"])).read_bytes())
        assert manifest["subject"]["digest"] == image.digest
        assert (blobs / oci.hexed(manifest["layers"][0]["digest"])).read_bytes() == BILL + image.platform.encode()
        assert (blobs / oci.hexed(manifest["config"]["digest"])).read_bytes() == b"{}"
    assert targets.publish(target, release)[0].state == "present"
    again = msgspec.structs.replace(
        release, bundle=msgspec.structs.replace(release.bundle, identity="sha256:" + "0" * 64)
    )
    assert targets.publish(target, again)[0].state == "created"
    listed = layout.tags(tmp_path / "out")["sha256-" + oci.hexed(found.digest)]
    index = json.loads((blobs / oci.hexed(listed)).read_bytes())
    assert [each["annotations"][IDENTITY] for each in index["manifests"]] == [
        release.bundle.identity,
        again.bundle.identity,
    ]


def test_another_client_finds_image_list_and_artifact(registry: serve.Registry, tmp_path: Path) -> None:
    """skopeo copies each by its digest, which it checks, out of a registry and out of a layout."""
    skopeo = apt.program("skopeo")
    release = made(tmp_path / "dist", images.simple())
    image = release.images[0]
    targets.publish(Target("registry", f"{registry.authority}/team/orders", ("1",)), release)
    targets.publish(Target("layout", str(tmp_path / "out"), ("1",)), release)
    name = f"docker://{registry.authority}/team/orders"
    assert image.digest in acceptance.ask([skopeo, "inspect", "--tls-verify=false", f"{name}:1"])
    raw = acceptance.ask([skopeo, "inspect", "--raw", "--tls-verify=false", f"{name}:{tag_of(image)}"])
    kinds = {each["artifactType"]: each["digest"] for each in json.loads(raw)["manifests"]}
    assert set(kinds) == {SBOM, BUNDLE}
    for number, source in enumerate((f"{name}@{image.digest}", f"oci:{tmp_path / 'out'}:1")):
        copy = tmp_path / f"copy{number}"
        acceptance.ask([skopeo, "copy", "--src-tls-verify=false", "--insecure-policy", source, f"dir:{copy}"])
        assert (copy / "manifest.json").read_bytes() == image.manifest
        assert (copy / oci.hexed(image.layers[0].digest)).is_file()
    held = acceptance.ask([skopeo, "inspect", "--raw", "--tls-verify=false", f"{name}@{kinds[SBOM]}"])
    assert oci.digest_of(held.encode()) == kinds[SBOM]
