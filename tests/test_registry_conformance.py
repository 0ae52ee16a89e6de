"""The OCI distribution specification's rules for a client, one by one, each with the test that shows it.

Of spec.md 1.1, what a client that pulls and pushes has to do with: a section, its rules, and each rule's test. A test
named alone is in this file; those that take a line run with the real docker-registry and with one of the protocol's.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdaf import targets
from cdaf.errors import CdafError, ResolveError
from cdaf.images import oci
from cdaf.images import parse as oci_parse
from cdaf.images.oci import Descriptor, Image
from cdaf.net import http
from cdaf.registries import reference, registry, session, upload, wire
from cdaf.registries.wire import Repository
from cdaf.targets import Release, Target
from tests import bundlekit, images, oddregistry
from tests.cutting import Line, cutting
from tests.oddregistry import Fault, Odd
from tools import serve

DATA = bytes(range(256)) * 4000
RULES = """
Pulling manifests
    a manifest is asked for by a tag or a digest and by nothing else
        test_reference_names::test_what_is_no_reference
    names and tags are of their grammar, and not too long
        test_reference_names::test_any_text_is_read_back_or_refused
    Accept says which kinds are understood
        test_accept_names_every_kind_that_is_understood
    parameters of Content-Type are ignored
        test_parameters_of_a_content_type_are_ignored
    a mediaType that is not the Content-Type is refused
        test_a_manifest_that_contradicts_its_content_type
    Docker-Content-Digest, where it is used, is that of the manifest
        test_registry::test_a_manifest_with_other_bytes_than_its_digest_is_refused
    what is asked for by digest has that digest
        test_registry::test_a_manifest_with_other_bytes_than_its_digest_is_refused
    404 means that there is none
        test_what_is_not_there
Pulling blobs
    a blob has the digest that it was asked for by
        test_registry::test_a_blob_with_other_bytes_is_refused_and_not_kept
    Range goes on where a connection broke
        test_registry::test_a_download_goes_on_where_it_broke_off
    a server without Range is served too
        test_registry::test_a_server_without_ranges_sends_all_of_it_again
    what was pushed comes back
        test_what_was_pushed_comes_back
Checking if content exists in the registry
    HEAD tells whether a blob is there, and it is not sent again
        test_a_blob_that_is_there_is_not_sent
    HEAD tells what a manifest's name stands for
        test_a_manifest_by_each_of_its_names
    without Docker-Content-Digest the digest is SHA-256 of what is read
        test_registry::test_a_registry_that_names_no_digest_is_read
Push
    blobs go first, the manifest last
        test_blobs_go_first_and_the_manifest_last
    a subject may be pushed after what refers to it
        test_referrers::test_a_real_registry_without_the_api_lists_by_a_tag
POST then PUT
    the upload's URL may be absolute or relative, and keeps its query
        test_registry::test_upload_urls_are_used_as_they_are_given
    the URL is used as it was given, the digest added
        test_a_whole_blob_is_one_post_and_one_put
    PUT has Content-Length and Content-Type
        test_a_whole_blob_is_one_post_and_one_put
    the upload's URL may be another server's, which gets no login
        test_an_upload_to_another_server_gets_no_login
Pushing a blob in chunks
    POST has Content-Length 0
        test_chunks_are_as_the_specification_has_them
    PATCH has Content-Type, Content-Length and Content-Range
        test_chunks_are_as_the_specification_has_them
    Content-Range is inclusive, begins with 0, and has no unit
        test_chunks_are_as_the_specification_has_them
    chunks come in order, each after the end of the last
        test_chunks_are_as_the_specification_has_them
    OCI-Chunk-Min-Length is heeded, but for the last chunk
        test_registry::test_chunks_are_as_large_as_the_registry_wants_them
    each chunk goes to the URL that the one before was answered with
        test_registry::test_a_large_blob_goes_by_chunks_that_follow_the_registrys_urls
    the session is closed by PUT with the whole blob's digest
        test_chunks_are_as_the_specification_has_them
    after 416, GET tells offset and URL
        test_registry::test_a_chunk_out_of_order_is_mended_by_asking
    the range that the registry tells counts, not what was sent
        test_registry::test_a_registry_that_took_less_of_a_chunk_gets_the_rest
    what broke off goes on from there
        test_registry::test_a_real_registry_takes_chunks_and_goes_on_after_a_break
    a session that is unknown by then starts anew
        test_registry::test_a_session_that_expired_while_the_line_was_broken_starts_afresh
Cancel a blob upload
    an upload that is given up is cancelled
        test_registry::test_an_upload_that_is_given_up_is_cancelled
    a failure of that is ignored
        test_a_cancellation_that_fails_is_ignored
Mounting a blob from another repository
    201 means that it is there
        test_a_blob_is_mounted
    202 means that it is to be sent
        test_a_mount_that_cannot_be_becomes_an_upload
    the right to mount may be missing
        test_registry::test_a_mount_that_is_refused_becomes_an_upload
Pushing Manifests
    Content-Type is the manifest's mediaType, without parameters
        test_content_type_is_the_media_type
    a manifest is stored byte for byte, which is looked at
        test_registry::test_a_manifest_that_is_another_when_read_back
    manifests of nearly 4 MB are pushed and pulled
        test_a_manifest_of_nearly_four_megabytes
    MANIFEST_BLOB_UNKNOWN is told
        test_registry::test_a_manifest_whose_blobs_are_missing_is_refused_in_the_registrys_words
Pushing Manifests with Subject
    with OCI-Subject there is nothing more to do
        test_referrers::test_attached_is_listed_once_by_type_and_by_image
    without it, the index under the referrers tag is pulled
        test_referrers::test_a_real_registry_without_the_api_lists_by_a_tag
    something else under that tag is a failure
        test_referrers::test_something_else_under_that_tag_is_a_failure_and_lists_nothing
    404 begins an empty index
        test_referrers::test_a_real_registry_without_the_api_lists_by_a_tag
    no entry stands there twice
        test_referrers::test_attached_is_listed_once_by_type_and_by_image
    artifactType and annotations are copied to the entry
        test_referrers::test_the_bill_of_materials_and_the_bundle_are_published_with_the_image
    conditions keep what another wrote meanwhile
        test_referrers::test_what_another_writes_at_the_same_moment_stays
Listing Referrers
    404 falls back on the referrers tag
        test_referrers::test_a_real_registry_without_the_api_lists_by_a_tag
    no valid index under the tag means no referrers
        test_referrers::test_something_else_under_that_tag_is_a_failure_and_lists_nothing
    Link leads to the next page
        test_referrers::test_a_registry_that_filters_not_and_lists_by_pages
    without OCI-Filters-Applied, the client filters
        test_referrers::test_a_registry_that_filters_not_and_lists_by_pages
Referrers Tag Schema
    the tag is the digest's, cut and with hyphens
        test_referrers::test_the_tag_is_that_of_the_specification
Registry Proxying
    no ns is sent, and no login of another registry
        test_a_mirror_gets_neither_namespace_nor_login
API
    redirects are followed
        test_registry::test_blobs_may_be_kept_elsewhere_and_our_login_stays_here
    Authorization does not cross hosts
        test_http::test_a_redirect_to_another_host_carries_no_credentials
    nor does a login in a body
        test_registry::test_an_identity_token_is_not_sent_on_to_another_host
Error Codes
    errors in JSON are told by code and message
        test_registry::test_a_manifest_whose_blobs_are_missing_is_refused_in_the_registrys_words
    errors may have any other form
        test_errors_of_any_form_are_errors
    DIGEST_INVALID is told as what it is
        test_registry::test_other_bytes_than_the_digest_says_are_told_so
    TOOMANYREQUESTS is waited for
        test_registry::test_a_wait_that_the_registry_wants_is_waited_and_one_of_an_hour_is_not
"""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(http, "_FIRST_WAIT", 0.001)


@pytest.fixture
def odd() -> Iterator[Odd]:
    with oddregistry.serving() as found:
        yield found


@pytest.fixture(params=["docker-registry", "protocol"])
def line(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Line]:
    """A line to a registry of each kind, on which requests are seen."""
    with ExitStack() as stack:
        if request.param == "protocol":
            authority = stack.enter_context(oddregistry.serving(absolute=False)).authority
        else:
            authority = stack.enter_context(serve.serving(tmp_path / "registry")).authority
        yield stack.enter_context(cutting(authority))


def place(server: Any, name: str = "team/orders", *mounted: str) -> Repository:
    return wire.target(reference.parse(f"{server.authority}/{name}"), mounted)


def send(where: Repository, data: bytes = DATA, source: str = "") -> bool:
    blob = Descriptor(oci.LAYER_GZIP, oci.digest_of(data), len(data))
    return upload.upload(where, blob, functools.partial(io.BytesIO, data), source)


def push(where: Repository, image: Image, *names: str) -> None:
    for layer in image.layers:
        assert layer.path
        send(where, layer.path.read_bytes())
    send(where, image.config)
    for name in (image.digest, *names):
        upload.put_manifest(where, image.manifest, oci.MANIFEST, name)


def steps(server: Any) -> list[Any]:
    """The requests to an upload's own URL."""
    return [each for each in server.asked if "/uploads/session" in each.path]


def test_every_rule_names_a_test_that_is_there() -> None:
    folder, sections = Path(__file__).parent, RULES.strip().splitlines()
    rules = [line for line in sections if line.startswith("    ") and line[4] != " "]
    named = [line.strip() for line in sections if line.startswith("        ")]
    assert len(rules) == len(named) > 50
    known: dict[str, set[str]] = {}
    for each in named:
        file, _, name = each.rpartition("::")
        if file not in known:
            tree = ast.parse((folder / f"{file or Path(__file__).stem}.py").read_text())
            known[file] = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in known[file], each


def test_accept_names_every_kind_that_is_understood(odd: Odd) -> None:
    image = images.simple()
    odd.put_manifest("team/orders", "1", image.manifest, oci.MANIFEST)
    registry.manifest(reference.parse(f"{odd.authority}/team/orders:1"))
    registry.head(place(odd), "1")
    for each in odd.asked:
        assert set(each.headers["accept"].split(", ")) == set(oci.MANIFESTS)


def test_parameters_of_a_content_type_are_ignored(odd: Odd) -> None:
    image = images.simple()
    for layer in image.layers:
        assert layer.path
        odd.put("team/orders", layer.path.read_bytes())
    odd.put("team/orders", image.config)
    odd.put_manifest("team/orders", "1", image.manifest, f"{oci.MANIFEST}; charset=utf-8")
    found = registry.resolve(reference.parse(f"{odd.authority}/team/orders:1"), "linux/amd64")
    assert (found.digest, found.media_type) == (image.digest, oci.MANIFEST)


def test_a_manifest_that_contradicts_its_content_type(odd: Odd) -> None:
    odd.put_manifest("team/orders", "1", images.simple().manifest, oci.INDEX)
    with pytest.raises(ResolveError, match="says that it is"):
        registry.resolve(reference.parse(f"{odd.authority}/team/orders:1"), "linux/amd64")


def test_what_is_not_there(line: Line) -> None:
    assert registry.head(place(line), "none") is None
    assert not upload.has_blob(place(line), oci.digest_of(DATA))
    with pytest.raises(ResolveError, match="has no manifest none"):
        registry.manifest(reference.parse(f"{line.authority}/team/orders:none"))


def test_what_was_pushed_comes_back(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = images.simple()
    push(place(line), image, "1")
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "fresh"))
    named = reference.parse(f"{line.authority}/team/orders:1")
    config, layers = oci_parse.manifest(registry.manifest(named)[0], "it")
    assert registry.blob(named, config).read_bytes() == image.config
    assert [each.digest for each in layers] == [each.digest for each in image.layers]
    for each in layers:
        assert oci.digest_of(registry.blob(named, each).read_bytes()) == each.digest


def test_a_blob_that_is_there_is_not_sent(line: Line) -> None:
    assert send(place(line))
    assert not send(place(line))
    assert (line.count("POST"), line.count("PUT")) == (1, 1)


def test_a_manifest_by_each_of_its_names(line: Line) -> None:
    image = images.simple()
    push(place(line), image, "1", "latest")
    assert {registry.head(place(line), name) for name in ("1", "latest", image.digest)} == {image.digest}


def test_blobs_go_first_and_the_manifest_last(line: Line, tmp_path: Path) -> None:
    shared, _ = images.layer({"app/shared": b"1"})
    both = tuple(images.image((shared,), platform) for platform in ("linux/amd64", "linux/arm64"))
    release = Release(bundlekit.sealed(tmp_path), both)
    (found,) = targets.publish(Target("registry", f"{line.authority}/team/orders", ("1",)), release)
    own = {shared.digest, *(image.config_digest for image in both)}
    puts = [each.split()[1] for each in line.asked if each.startswith("PUT ")]
    at = {name: min(number for number, each in enumerate(puts) if name in each.replace("%3A", ":")) for name in
          (*own, *(image.digest for image in both), found.digest, "/manifests/1")}  # fmt: skip
    platforms = [at[image.digest] for image in both]
    assert max(at[each] for each in own) < min(platforms)
    assert max(platforms) < at[found.digest] < at["/manifests/1"] == len(puts) - 1


def test_a_whole_blob_is_one_post_and_one_put(odd: Odd) -> None:
    assert send(place(odd))
    begun = next(each for each in odd.asked if each.method == "POST")
    (put,) = steps(odd)
    assert begun.headers["content-length"] == "0"
    assert put.query == {"_state": [f"{oddregistry.SECRET_STATE}-0"], "digest": [oci.digest_of(DATA)]}
    assert put.headers["content-length"] == str(len(DATA))
    assert put.headers["content-type"] == "application/octet-stream"


def test_an_upload_to_another_server_gets_no_login(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_REGISTRY_USERNAME", "me")
    monkeypatch.setenv("CDAF_REGISTRY_PASSWORD", "secret")
    odd.user, odd.password = "me", "secret"
    with oddregistry.serving() as other:
        other.uploads["session-x"] = b""
        url = f"{other.address}/v2/team/orders/blobs/uploads/session-x?_state={oddregistry.SECRET_STATE}"
        odd.faults += [Fault("POST", "/none"), Fault("POST", "/uploads/", 1, 202, {"Location": url})]
        assert registry.head(place(odd), "1") is None
        assert send(place(odd))
        (put,) = steps(other)
        assert other.blobs["team/orders", oci.digest_of(DATA)] == DATA
    assert "authorization" not in put.headers
    assert "authorization" in odd.asked[-1].headers


def test_chunks_are_as_the_specification_has_them(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CHUNK", 300_000)
    assert send(place(odd))
    begun = next(each for each in odd.asked if each.method == "POST")
    assert begun.headers["content-length"] == "0"
    *chunks, put = steps(odd)
    following = 0
    for each in chunks:
        assert each.method == "PATCH"
        assert each.headers["content-type"] == "application/octet-stream"
        told = re.fullmatch(r"([0-9]+)-([0-9]+)", each.headers["content-range"])
        assert told
        assert int(told[1]) == following
        following = int(told[2]) + 1
        assert int(each.headers["content-length"]) == len(each.body) == following - int(told[1])
    assert following == len(DATA)
    assert (put.method, put.query["digest"], put.headers["content-length"]) == ("PUT", [oci.digest_of(DATA)], "0")


def test_a_cancellation_that_fails_is_ignored(odd: Odd) -> None:
    odd.faults += [Fault("PUT", "/uploads/", status=413), Fault("DELETE", "/uploads/", status=500)]
    with pytest.raises(CdafError, match="413"):
        send(place(odd))
    assert odd.count("DELETE", "/uploads/") == 1


def test_a_blob_is_mounted(line: Line) -> None:
    send(place(line, "base/python"))
    before = line.up
    assert not send(place(line, "team/orders", "base/python"), DATA, "base/python")
    assert upload.has_blob(place(line), oci.digest_of(DATA))
    assert line.up - before < 10_000
    digest = hashlib.sha256(DATA).hexdigest()
    assert line.count("POST", f"/v2/team/orders/blobs/uploads/?mount=sha256%3A{digest}&from=base%2Fpython") == 1


def test_a_mount_that_cannot_be_becomes_an_upload(line: Line) -> None:
    assert send(place(line, "team/orders", "base/python"), DATA, "base/python")
    assert (line.count("POST"), line.count("PUT")) == (1, 1)
    assert upload.has_blob(place(line), oci.digest_of(DATA))


def test_content_type_is_the_media_type(odd: Odd) -> None:
    image = images.simple()
    index, media_type, _ = oci.published((image, images.simple(platform="linux/arm64")))
    upload.put_manifest(place(odd), image.manifest, oci.MANIFEST)
    upload.put_manifest(place(odd), index, media_type)
    for each in (each for each in odd.asked if each.method == "PUT"):
        assert each.headers["content-type"] == msgspec.json.decode(each.body)["mediaType"]


def test_a_manifest_of_nearly_four_megabytes(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = images.simple()
    push(place(line), image)
    told = msgspec.json.decode(image.manifest) | {"annotations": {"org.example.text": "x" * 3_900_000}}
    data = msgspec.json.encode(told)
    assert upload.put_manifest(place(line), data, oci.MANIFEST, "large") == oci.digest_of(data)
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "fresh"))
    assert registry.manifest(reference.parse(f"{line.authority}/team/orders:large"))[0] == data


def test_a_mirror_gets_neither_namespace_nor_login(odd: Odd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_REGISTRY_MIRRORS", odd.address)
    (tmp_path / "docker").mkdir()
    auths = {"https://index.docker.io/v1/": {"username": "me", "password": "secret"}}
    (tmp_path / "docker" / "config.json").write_bytes(msgspec.json.encode({"auths": auths}))
    odd.user, odd.password = "other", "other"
    monkeypatch.setattr(wire, "_DOCKER_IO", odd.address)
    odd.put_manifest("library/python", "3", images.simple().manifest, oci.MANIFEST)
    (mirror, _) = wire.sources(reference.parse("python:3"))
    with pytest.raises(ResolveError, match="refuses"):
        registry._manifest(reference.parse("python:3"), oci.MANIFESTS, mirror)
    assert [(each.query, each.headers.get("authorization")) for each in odd.asked] == [({}, None)]


@pytest.mark.parametrize(
    "body", [b"", b"no", b"<html>no</html>", b"[]", b'{"errors": [1]}', b'{"errors": {"code": 1}}']
)
def test_errors_of_any_form_are_errors(odd: Odd, body: bytes) -> None:
    odd.faults.append(Fault("HEAD", "/manifests/", status=400))
    odd.faults.append(Fault("PUT", "/manifests/", status=400, body=body))
    with pytest.raises(CdafError, match="answers 400"):
        registry.head(place(odd), "1")
    with pytest.raises(CdafError, match="answers 400"):
        upload.put_manifest(place(odd), images.simple().manifest, oci.MANIFEST)
