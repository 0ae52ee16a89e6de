"""Blobs go up while the image is tested, the manifest only when it passed: with a real engine and a real registry."""

from __future__ import annotations

import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from cdaf import engine, flow, progress, record, releasing, targets
from cdaf.bundles import bundle
from cdaf.errors import CdafError, PublishError, SmokeError
from cdaf.images import layers, oci, plan
from cdaf.images.oci import Image
from cdaf.net import http, transfers
from cdaf.registries import session
from cdaf.settings import settings
from cdaf.targets import Release, Target
from tests import bundlekit, images, oddregistry, stands
from tests.oddregistry import Fault, Odd

if TYPE_CHECKING:
    from tools import serve

DYING = "import sys; sys.exit('no')"


class Said(progress.Silent):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(autouse=True)
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    monkeypatch.setattr(http, "_FIRST_WAIT", 0.001)
    found = Said()
    monkeypatch.setattr(progress, "_sink", found)
    return found


@pytest.fixture
def odd() -> Iterator[Odd]:
    with oddregistry.serving() as found:
        yield found


def status(registry: serve.Registry, path: str) -> int:
    """What a registry answers to HEAD, asked without any code of ours."""
    asked = urllib.request.Request(f"{registry.url}/v2/team/orders/{path}", method="HEAD")
    asked.add_header("Accept", f"{oci.INDEX}, {oci.MANIFEST}")
    try:
        with urllib.request.urlopen(asked) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def blobs(registry: serve.Registry, image: Image) -> set[int]:
    names = [image.config_digest, *(layer.digest for layer in image.layers)]
    return {status(registry, f"blobs/{each}") for each in names}


@pytest.mark.docker
def test_blobs_are_there_before_the_manifest_and_the_manifest_only_after_the_test(
    registry: serve.Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = stands.made(tmp_path)
    (image,) = stands.images(opened)
    real, seen = releasing.publish, []

    def publish(*given: Any) -> Any:
        seen.append((blobs(registry, image), status(registry, f"manifests/{image.digest}")))
        return real(*given)

    monkeypatch.setattr(releasing, "publish", publish)
    (done,) = flow.release(opened.path, [f"registry:{registry.authority}/team/orders"])
    assert seen == [({200}, 404)]
    assert done.digest == image.digest
    assert status(registry, f"manifests/{image.digest}") == 200
    subprocess.run(["docker", "pull", "--quiet", done.reference], check=True, capture_output=True)
    try:
        told = engine.inspect(done.reference) or {}
        assert told["RootFS"]["Layers"] == [layer.diff_id for layer in image.layers]
        assert done.reference in told["RepoDigests"]
    finally:
        subprocess.run(["docker", "image", "rm", done.reference], check=True, capture_output=True)


@pytest.mark.docker
def test_a_failed_test_leaves_no_manifest_and_no_tag(registry: serve.Registry, tmp_path: Path) -> None:
    opened = stands.made(tmp_path, server=DYING)
    (image,) = stands.images(opened)
    with pytest.raises(SmokeError):
        flow.release(opened.path, [f"registry:{registry.authority}/team/orders"])
    assert status(registry, f"manifests/{image.digest}") == 404
    assert not list(registry.storage.rglob("_manifests"))
    transfers.check()


def test_a_layer_is_on_its_way_as_soon_as_it_is_written(
    odd: Odd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next layer is not written before the registry has the one before."""
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    top = plan.Layer("top", (plan.Place("app/orders.py", "app/again.py"),))
    opened = bundlekit.foretold(tmp_path, {"flask/app.py": "y = 2\n"}, top)
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "another machine"))
    real = layers._made
    seen: list[str] = []

    def made(*given: Any) -> oci.Layer:
        for each in seen:
            for _ in range(500):
                if ("team/orders", each) in odd.blobs:
                    break
                time.sleep(0.02)
            assert ("team/orders", each) in odd.blobs
        found = real(*given)
        seen.append(found.digest)
        return found

    monkeypatch.setattr(layers, "_made", made)
    target = Target("registry", f"{odd.authority}/team/orders")
    with releasing.uploading(opened, (target,)) as uploads:
        (image,) = releasing.images(uploads)
    assert len(seen) > 1
    assert seen == [each.digest for each in image.layers]
    sent = [each.query["digest"][0] for each in odd.asked if each.method == "PUT"]
    assert sorted(sent) == sorted([*seen, image.config_digest])
    assert not odd.manifests


@pytest.mark.docker
def test_a_platform_that_can_be_tested_nowhere_here_is_refused_before_anything_is_made(
    odd: Odd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, allowed = stands.made(tmp_path), settings.Smoke(untested=("windows/arm64",))
    plans = tuple(msgspec.structs.replace(each, platform="windows/arm64") for each in made.plans.images)
    both = msgspec.structs.replace(made.plans, images=(*made.plans.images, *plans))
    opened = msgspec.structs.replace(made, plans=both)
    monkeypatch.setattr(bundle, "open", lambda _: opened)
    with pytest.raises(PublishError, match=r"^windows/arm64: does not run on this engine") as caught:
        flow.release(made.path, [f"registry:{odd.authority}/team/orders"])
    assert "add it to [smoke] untested" in caught.value.hint
    assert not odd.asked
    assert [path.name for path in made.path.parent.iterdir()] == [made.path.name]
    smoke = msgspec.structs.replace(made.manifest.smoke, declared=allowed)
    releasing.demand_testable(
        msgspec.structs.replace(opened, manifest=msgspec.structs.replace(made.manifest, smoke=smoke))
    )


def test_a_dirty_tree_without_a_tag_in_registries_is_said_once(odd: Odd, tmp_path: Path, said: Said) -> None:
    made = release(tmp_path)
    source = msgspec.structs.replace(made.bundle.manifest.source, dirty=True)
    dirty = msgspec.structs.replace(made.bundle, manifest=msgspec.structs.replace(made.bundle.manifest, source=source))
    where = [Target("registry", f"{odd.authority}/team/{name}") for name in ("a", "b")]
    for opened, times in ((made.bundle, 0), (dirty, 1)):
        journal = releasing.journal(opened, made.images, tmp_path / f"{times}.toml")
        passed = [record.Tested(platform=each.platform, digest=each.digest, state="passed") for each in made.images]
        done = releasing.Journal(record.tested(journal.record, passed), journal.place)
        releasing.foretell(opened, made.images, where, done)
        releasing.publish(opened, made.images, where, done)
        warned = [each for each in said.warnings if "no tag names its image" in each]
        assert len(warned) == 2 * times, "once in the dry run, once when it is published"


@pytest.mark.docker
def test_a_dry_run_sends_nothing(registry: serve.Registry, tmp_path: Path) -> None:
    opened = stands.made(tmp_path)
    flow.release(opened.path, [f"registry:{registry.authority}/team/orders"], dry_run=True)
    assert not list(registry.storage.rglob("_layers"))


def test_a_tag_that_names_another_image_is_refused_before_the_test_and_in_a_dry_run(odd: Odd, tmp_path: Path) -> None:
    other, made = images.simple("other"), release(tmp_path)
    target = Target("registry", f"{odd.authority}/team/orders", ("1.4.0",))
    targets.publish(target, Release(made.bundle, (other,)))
    with pytest.raises(PublishError, match=r"tag 1\.4\.0 names sha256:[0-9a-f]{64} already"):
        following(made, target).__enter__()
    with pytest.raises(PublishError, match=f"tag 1.4.0 names {other.digest} already"):
        releasing.refuse(made.bundle, made.images, [target])


def release(folder: Path, *found: Image) -> Release:
    return Release(bundlekit.sealed(folder), found or (images.simple(),))


@contextmanager
def following(made: Release, *destinations: Target) -> Iterator[None]:
    """The uploads of images that are made already."""
    with releasing.uploading(made.bundle, destinations) as uploads:
        releasing.follow(uploads, made.images)
        yield


def uploading(odd: Odd, made: Release, *tags: str) -> AbstractContextManager[None]:
    return following(made, Target("registry", f"{odd.authority}/team/orders", tags))


def test_what_fails_during_the_test_is_tried_again_at_publishing(odd: Odd, tmp_path: Path, said: Said) -> None:
    made = release(tmp_path)
    odd.faults.append(Fault("POST", "/uploads/", times=4, status=400))
    with uploading(odd, made):
        pass
    assert any("not all could be sent during the test" in each for each in said.notes)
    odd.faults.clear()
    (done,) = targets.publish(Target("registry", f"{odd.authority}/team/orders"), made)
    assert done.digest == made.images[0].digest


def test_what_keeps_failing_is_told_at_publishing(odd: Odd, tmp_path: Path) -> None:
    made = release(tmp_path)
    odd.faults.append(Fault("PUT", "/uploads/", times=99, status=413))
    with uploading(odd, made):
        pass
    with pytest.raises(PublishError, match="413"):
        targets.publish(Target("registry", f"{odd.authority}/team/orders"), made)
    assert not odd.manifests


def test_what_is_there_is_not_sent_again(odd: Odd, tmp_path: Path) -> None:
    made = release(tmp_path)
    with uploading(odd, made):
        pass
    sent = [each.query["digest"][0] for each in odd.asked if each.method == "PUT"]
    targets.publish(Target("registry", f"{odd.authority}/team/orders"), made)
    again = [each.query["digest"][0] for each in odd.asked if each.method == "PUT" and "uploads" in each.path]
    assert sorted(sent) == sorted([made.images[0].config_digest, made.images[0].layers[0].digest])
    assert again[: len(sent)] == sent
    assert len(set(again)) == len(again)


def test_a_publication_that_will_be_refused_sends_nothing_ahead(odd: Odd, tmp_path: Path) -> None:
    odd.put_manifest("team/orders", "1", images.simple("other").manifest, oci.MANIFEST)
    with pytest.raises(PublishError, match="already"):
        uploading(odd, release(tmp_path), "1").__enter__()
    assert odd.count("POST", "/uploads/") == 0


@pytest.mark.parametrize("blow", [KeyboardInterrupt, SmokeError])
def test_an_interrupted_or_failed_test_ends_the_uploads(odd: Odd, tmp_path: Path, blow: type, monkeypatch: Any) -> None:
    """The registry stops in the middle of its answers, so that only a hang-up can end them."""
    made = release(tmp_path)
    begun, real = threading.Event(), session.close

    def close(*given: Any) -> None:
        odd.delay = 30
        begun.set()
        real(*given)

    monkeypatch.setattr(session, "close", close)

    def tested() -> None:
        with uploading(odd, made):
            begun.wait()
            raise blow("enough")

    with pytest.raises(blow):
        tested()
    assert not odd.manifests
    assert [each for each in threading.enumerate() if each.name.startswith("ThreadPoolExecutor")] == []
    transfers.check()
    odd.delay = 0


def test_a_target_without_anything_to_send_ahead(tmp_path: Path) -> None:
    made = release(tmp_path)
    with following(made, Target("layout", str(tmp_path / "out"))):
        pass
    assert not (tmp_path / "out").exists()
    with pytest.raises(CdafError), following(made):
        raise CdafError("nothing to end")
