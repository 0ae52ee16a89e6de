"""The release record: journal, gate before publishing, and what joins two machines' work."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdaf import progress, record
from cdaf.bundles import manifest as manifests
from cdaf.errors import PublishError, UsageError, exit_code
from cdaf.images import oci
from cdaf.images.oci import Image
from cdaf.record import Record
from cdaf.settings import settings
from cdaf.targets import Publication
from tests import bundlekit, images


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def both() -> tuple[Image, Image]:
    return images.simple(), images.simple("other", "linux/arm64")


def begun(folder: Path, *found: Image) -> Record:
    made = bundlekit.sealed(folder / "dist")
    return record.start(record.path(made), made, found)


def result(image: Image, state: record.State) -> record.Tested:
    return record.Tested(
        platform=image.platform,
        digest=image.digest,
        state=state,
        report="orders.smoke/report.html",
        junit_digest="sha256:" + "c" * 64,
    )


def publication(where: str, digest: str, *tags: str, state: Any = "created") -> Publication:
    return Publication(f"registry:{where}", f"{where}@{digest}", digest, tags, state)


def test_a_record_names_everything_by_digest(tmp_path: Path, both: tuple[Image, Image]) -> None:
    found = record.tested(begun(tmp_path, *both), [result(both[0], "passed"), result(both[1], "not run")])
    digest = oci.published(both)[2]
    found = record.published(found, [publication("r.example/orders", digest, "1.4.0", "latest")])
    place = tmp_path / "dist" / "orders-1.4.0.release.toml"
    record.write(found, place)
    assert record.read(place) == found
    table = tomllib.loads(place.read_text())
    assert list(table)[:5] == ["format", "bundle", "name", "version", "digest"]
    assert table["bundle"] == bundlekit.sealed(tmp_path / "again").identity
    assert table["digest"] == digest
    assert [each["digest"] for each in table["images"]] == [image.digest for image in both]
    assert [each["state"] for each in table["smoke"]] == ["passed", "not run"]
    assert table["publications"][0]["reference"] == f"r.example/orders@{digest}"
    assert table["publications"][0]["tags"] == ["1.4.0", "latest"]


def test_a_test_that_was_not_run_here_takes_nothing_from_one_elsewhere(
    tmp_path: Path, both: tuple[Image, Image]
) -> None:
    found = record.tested(begun(tmp_path, *both), [result(both[0], "passed"), result(both[1], "not run")])
    again = record.tested(found, [result(both[0], "not run"), result(both[1], "passed")])
    assert [each.state for each in again.smoke] == ["passed", "passed"]
    assert [each.state for each in record.tested(again, [result(both[0], "failed")]).smoke] == ["failed", "passed"]


def test_a_record_lies_beside_the_bundle_or_where_it_is_wanted(tmp_path: Path) -> None:
    made = bundlekit.sealed(tmp_path / "dist")
    assert record.path(made) == tmp_path / "dist" / "orders-1.4.0.release.toml"
    assert record.path(made, tmp_path) == tmp_path / "orders-1.4.0.release.toml"
    assert record.path(made, tmp_path / "own.toml") == tmp_path / "own.toml"


def test_a_record_is_taken_up_again(tmp_path: Path, both: tuple[Image, Image]) -> None:
    made = bundlekit.sealed(tmp_path / "dist")
    place = record.path(made)
    first = record.tested(record.start(place, made, both[:1]), [result(both[0], "passed")])
    record.write(first, place)
    again = record.start(place, made, both)
    assert again.smoke == first.smoke
    assert [each.platform for each in again.images] == ["linux/amd64", "linux/arm64"]


def test_two_releases_at_once_both_enter_what_they_published(tmp_path: Path, both: tuple[Image, Image]) -> None:
    mine = begun(tmp_path, *both)
    place, digest = tmp_path / "dist" / "orders-1.4.0.release.toml", oci.published(both)[2]
    record.write(record.published(mine, [publication("a.example/orders", digest)]), place)
    record.write(record.tested(mine, [result(both[0], "passed")]), place)
    record.write(record.published(mine, [publication("b.example/orders", digest, "1")]), place)
    record.write(record.published(mine, [publication("b.example/orders", digest, "1", "2")]), place)
    found = record.read(place)
    assert found
    assert [(each.target, each.tags) for each in found.publications] == [
        ("registry:a.example/orders", ()),
        ("registry:b.example/orders", ("1", "2")),
    ]


def test_a_record_that_cannot_be_written_says_how_to_name_another_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written") as caught:
        record.write(begun(tmp_path), tmp_path / "file" / "x.toml")
    assert "--record" in caught.value.hint


def test_a_test_of_other_bytes_says_nothing(tmp_path: Path, both: tuple[Image, Image]) -> None:
    made = bundlekit.sealed(tmp_path / "dist")
    place = record.path(made)
    record.write(record.tested(record.start(place, made, both), [result(both[0], "passed")]), place)
    assert record.start(place, made, [images.simple("changed"), both[1]]).smoke == ()


def test_a_record_of_another_bundle_is_given_up_only_when_nothing_was_published(
    tmp_path: Path, both: tuple[Image, Image]
) -> None:
    made = bundlekit.sealed(tmp_path / "dist")
    place = record.path(made)
    first = record.start(place, made, both)
    other = msgspec.structs.replace(first, bundle="sha256:" + "0" * 64)
    record.write(other, place)
    assert record.start(place, made, both) == first
    record.write(record.published(other, [publication("r.example/a", both[0].digest)]), place)
    before = place.read_bytes()
    with pytest.raises(PublishError, match="another bundle") as caught:
        record.start(place, made, both)
    assert "--record" in caught.value.hint
    assert place.read_bytes() == before
    source = msgspec.structs.replace(made.manifest.source, dirty=True)
    dirty = msgspec.structs.replace(made, manifest=msgspec.structs.replace(made.manifest, source=source))
    assert record.start(place, dirty, both).publications == ()


def test_publishing_again_replaces_a_targets_entry_and_keeps_the_others(
    tmp_path: Path, both: tuple[Image, Image]
) -> None:
    digest = both[0].digest
    found = begun(tmp_path, both[0])
    for where, state in (("a.example/x", "created"), ("b.example/x", "created"), ("a.example/x", "present")):
        found = record.published(found, [publication(where, digest, state=state)])
    assert [(each.target, each.state) for each in found.publications] == [
        ("registry:b.example/x", "created"),
        ("registry:a.example/x", "present"),
    ]


@pytest.mark.parametrize("state", ["passed", "emulated"])
def test_what_was_tested_may_be_published(tmp_path: Path, both: tuple[Image, Image], state: record.State) -> None:
    found = record.tested(begun(tmp_path, *both), [result(image, state) for image in both])
    record.refuse_untested(found, both, bundlekit.manifest())


def test_what_was_not_tested_may_not(tmp_path: Path, both: tuple[Image, Image]) -> None:
    found = record.tested(begun(tmp_path, *both), [result(both[1], "failed")])
    with pytest.raises(PublishError) as caught:
        record.refuse_untested(found, both, bundlekit.manifest())
    assert exit_code(caught.value) == 8
    assert "linux/amd64: its smoke test was not run" in caught.value.message
    assert "linux/arm64: its smoke test failed" in caught.value.message
    assert "untested" not in caught.value.hint, "a failed test is never let go"


def test_a_test_of_another_digest_does_not_count(tmp_path: Path, both: tuple[Image, Image]) -> None:
    found = record.tested(begun(tmp_path, both[0]), [result(images.simple("changed"), "passed")])
    with pytest.raises(PublishError, match="was not run"):
        record.refuse_untested(found, both[:1], bundlekit.manifest())


def test_a_platform_may_be_let_go_untested_but_not_failed(tmp_path: Path, both: tuple[Image, Image]) -> None:
    said: list[str] = []

    class Telling(progress.Silent):
        def warn(self, text: str) -> None:
            said.append(text)

    allowing = bundlekit.manifest(smoke=manifests.Smoke(declared=settings.Smoke(untested=("linux/arm64",))))
    found = record.tested(begun(tmp_path, *both), [result(both[0], "passed"), result(both[1], "not run")])
    progress.use(Telling())
    try:
        record.refuse_untested(found, both, allowing)
    finally:
        progress.use(progress.Silent())
    assert said == ["linux/arm64 is published without a smoke test, as [smoke] untested says"]
    with pytest.raises(PublishError, match="failed"):
        record.refuse_untested(record.tested(found, [result(both[1], "failed")]), both, allowing)


def test_records_of_two_machines_are_joined(tmp_path: Path, both: tuple[Image, Image]) -> None:
    base = begun(tmp_path, *both)
    here = record.tested(base, [result(both[0], "passed"), result(both[1], "not run")])
    there = record.tested(base, [result(both[0], "emulated"), result(both[1], "passed")])
    there = record.published(there, [publication("r.example/a", both[0].digest)])
    joined = record.join(here, there)
    assert [each.state for each in joined.smoke] == ["passed", "passed"]
    assert joined.publications == there.publications
    assert joined.digest == base.digest
    assert record.join(joined, there) == joined
    assert record.join(there, here).smoke == joined.smoke
    failed = record.tested(base, [result(both[0], "failed")])
    assert record.join(joined, failed).smoke[0].state == "failed"


def test_records_that_do_not_belong_together_are_not_joined(tmp_path: Path, both: tuple[Image, Image]) -> None:
    one = begun(tmp_path, *both)
    with pytest.raises(UsageError, match="different bundles"):
        record.join(one, msgspec.structs.replace(one, bundle="sha256:" + "0" * 64))
    with pytest.raises(UsageError, match="different images for linux/arm64"):
        record.join(one, begun(tmp_path, both[0], images.simple("changed", "linux/arm64")))


@pytest.mark.parametrize(
    "text", ["", "format = 2\n", "format = [", 'format = 1\nname = "x"\n', "format = 1\nodd = 1\n"]
)
def test_what_is_no_record_is_left_alone(tmp_path: Path, text: str) -> None:
    place = tmp_path / "orders.release.toml"
    place.write_text(text)
    with pytest.raises(UsageError):
        record.read(place)
    assert place.read_text() == text
    assert record.read(tmp_path / "none.toml") is None


def test_a_record_is_the_same_bytes_on_every_machine(tmp_path: Path, both: tuple[Image, Image]) -> None:
    one, two = (record.encode(begun(tmp_path / name, *both)) for name in ("a", "b"))
    assert one == two
    assert str(tmp_path).encode() not in one
