"""Reading registries and writing to them: a real one, and one that misbehaves."""

from __future__ import annotations

import base64
import io
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import strategies as st

from cdaf import progress, store
from cdaf.errors import CdafError, PublishError, ResolveError, exit_code
from cdaf.images import oci
from cdaf.images import parse as oci_parse
from cdaf.images.oci import Descriptor, Image
from cdaf.net import http
from cdaf.registries import auth, registry, session, upload, wire
from cdaf.registries.reference import Reference, at, parse
from tests import images, oddregistry
from tests.cutting import cutting
from tests.oddregistry import SECRET_STATE, Fault, Odd

if TYPE_CHECKING:
    from tests.conftest import RegistryFactory
    from tools import serve

SECRET = "geheim-4711"
DATA = bytes(range(256)) * 4000


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No login, no mirror and no cache but the test's own."""
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CDAF_REGISTRY_MIRRORS", "")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CDAF_REGISTRY_USERNAME", "CDAF_REGISTRY_PASSWORD", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(http, "_FIRST_WAIT", 0.001)
    auth.forget()


@pytest.fixture
def odd() -> Iterator[Odd]:
    with oddregistry.serving() as found:
        yield found


def team(server: Any, tag: str = "") -> Reference:
    return parse(f"{server.authority}/team/orders{tag}")


def described(data: bytes) -> Descriptor:
    return Descriptor(oci.LAYER_GZIP, oci.digest_of(data), len(data))


def login(tmp_path: Path, host: str, user: str, secret: str, **more: str) -> None:
    (tmp_path / "docker").mkdir(exist_ok=True)
    entry = more or {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {host: entry}}))


def send(where: Any, data: bytes, source: str = "") -> bool:
    return upload.upload(where, described(data), lambda: io.BytesIO(data), source)


def push(server: Any, image: Image, *tags: str) -> str:
    where = wire.target(team(server))
    for layer in image.layers:
        assert layer.path
        send(where, layer.path.read_bytes())
    send(where, image.config)
    for tag in tags:
        upload.put_manifest(where, image.manifest, oci.MANIFEST, tag)
    return upload.put_manifest(where, image.manifest, oci.MANIFEST)


def hold(odd: Odd, image: Image, tag: str = "1", media_type: str = oci.MANIFEST) -> None:
    """Give the misbehaving registry an image without asking it."""
    for layer in image.layers:
        assert layer.path
        odd.put("team/orders", layer.path.read_bytes())
    odd.put("team/orders", image.config)
    odd.put_manifest("team/orders", tag, image.manifest, media_type)


# The real one


def test_an_image_comes_back_from_a_real_registry(registry: serve.Registry, tmp_path: Path, monkeypatch: Any) -> None:
    image = images.simple()
    assert push(registry, image, "1.4.0") == image.digest
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "fresh"))
    found = registry_module().resolve(team(registry, ":1.4.0"), "linux/amd64")
    assert (found.digest, found.platform) == (image.digest, "linux/amd64")
    data = registry_module().manifest_by_digest(at(team(registry), found.digest))
    assert data == image.manifest
    config, layers = oci_parse.manifest(data, "it")
    paths = registry_module().blobs(team(registry), [config, *layers])
    assert [oci.digest_of(path.read_bytes()) for path in paths] == [config.digest, image.layers[0].digest]


def registry_module() -> Any:
    """The module, where a fixture has its name."""
    return registry


def test_an_index_is_resolved_by_platform(registry: serve.Registry) -> None:
    both = (images.simple(), images.simple("other", "linux/arm64"))
    for image in both:
        push(registry, image)
    data, media_type, digest = oci.published(both)
    where = wire.target(team(registry))
    assert upload.put_manifest(where, data, media_type, "1") == digest
    resolve = registry_module().resolve
    assert resolve(team(registry, ":1"), "linux/arm64").digest == both[1].digest
    assert resolve(team(registry, ":1"), "linux/arm64/v8").digest == both[1].digest
    with pytest.raises(ResolveError, match=r"no image for linux/s390x, only for linux/amd64, linux/arm64"):
        resolve(team(registry, ":1"), "linux/s390x")


def test_a_blob_that_is_there_is_not_sent_and_one_elsewhere_is_mounted(registry: serve.Registry) -> None:
    assert send(wire.target(team(registry)), DATA)
    assert not send(wire.target(team(registry)), DATA)
    other = parse(f"{registry.authority}/team/other")
    assert not send(wire.target(other, ("team/orders",)), DATA, "team/orders")
    assert upload.has_blob(wire.target(other), oci.digest_of(DATA))


def test_a_manifest_whose_blobs_are_missing_is_refused_in_the_registrys_words(registry: serve.Registry) -> None:
    with pytest.raises(PublishError, match="answers 400") as caught:
        upload.put_manifest(wire.target(team(registry)), images.simple().manifest, oci.MANIFEST)
    assert "MANIFEST_BLOB_UNKNOWN" in caught.value.output
    assert exit_code(caught.value) == 8


def test_a_registry_with_a_login(registry_factory: RegistryFactory, tmp_path: Path) -> None:
    server = registry_factory(user="ci", password=SECRET)
    where = wire.target(team(server))
    with pytest.raises(PublishError, match="refuses") as caught:
        send(where, DATA)
    assert caught.value.hint == f"run `docker login {server.authority}` with an account that has the right"
    assert "team/orders" in caught.value.message
    login(tmp_path, server.authority, "ci", SECRET)
    assert send(where, DATA)


def test_wrong_credentials_are_refused_and_not_shown(registry_factory: RegistryFactory, monkeypatch: Any) -> None:
    server = registry_factory(user="ci", password="right-one")
    monkeypatch.setenv("CDAF_REGISTRY_USERNAME", "ci")
    monkeypatch.setenv("CDAF_REGISTRY_PASSWORD", SECRET)
    with pytest.raises(PublishError, match="401") as caught:
        send(wire.target(team(server)), DATA)
    assert SECRET not in caught.value.message + caught.value.hint + caught.value.output
    assert exit_code(caught.value) == 8


def test_the_environments_login_is_for_publishing_alone(registry_factory: RegistryFactory, monkeypatch: Any) -> None:
    server = registry_factory(user="ci", password=SECRET)
    monkeypatch.setenv("CDAF_REGISTRY_USERNAME", "ci")
    monkeypatch.setenv("CDAF_REGISTRY_PASSWORD", SECRET)
    assert push(server, images.simple(), "1")
    store_free = at(team(server), oci.digest_of(b"not there"))
    with pytest.raises(ResolveError, match="refuses"):
        registry_module().manifest(store_free)


def test_a_registry_that_is_read_only(registry_factory: RegistryFactory) -> None:
    server = registry_factory(read_only=True)
    with pytest.raises(PublishError, match="answers 405"):
        send(wire.target(team(server)), DATA)


# Reading what misbehaves


def test_what_is_not_there_says_who_was_asked(odd: Odd) -> None:
    with pytest.raises(ResolveError) as caught:
        registry.manifest(team(odd, ":nope"))
    assert f"{odd.authority}/team/orders:nope" in caught.value.message
    assert exit_code(caught.value) == 4
    assert "MANIFEST_UNKNOWN" in caught.value.output


def test_nobody_listening_is_transient() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        name = f"127.0.0.1:{free.getsockname()[1]}/team/orders:1"
    with pytest.raises(ResolveError, match="connection refused") as caught:
        registry.manifest(parse(name))
    assert exit_code(caught.value) == 75


def test_a_manifest_with_other_bytes_than_its_digest_is_refused(odd: Odd) -> None:
    image = images.simple()
    hold(odd, image)
    odd.faults.append(Fault("GET", "/manifests/", times=9, replace=b'{"schemaVersion": 2}'))
    for reference in (at(team(odd), image.digest), team(odd, ":1")):
        with pytest.raises(ResolveError, match="other bytes"):
            registry.manifest(reference)
    assert not store.has("blobs", oci.hexed(image.digest))


def test_a_blob_with_other_bytes_is_refused_and_not_kept(odd: Odd) -> None:
    odd.put("team/orders", DATA)
    odd.faults.append(Fault("GET", "/blobs/", replace=DATA[:-1] + b"x"))
    with pytest.raises(ResolveError, match="other bytes"):
        registry.blob(team(odd), described(DATA))
    assert not store.has("blobs", oci.hexed(oci.digest_of(DATA)))


def test_a_blob_without_end_is_cut_off(odd: Odd) -> None:
    odd.put("team/orders", DATA)
    odd.faults.append(Fault("GET", "/blobs/", replace=DATA + DATA))
    with pytest.raises(ResolveError, match="more than"):
        registry.blob(team(odd), described(DATA))


def test_a_download_goes_on_where_it_broke_off(odd: Odd) -> None:
    odd.put("team/orders", DATA)
    odd.faults += [Fault("GET", "/blobs/", drop_after=100_000), Fault("GET", "/blobs/", drop_after=1000)]
    assert registry.blob(team(odd), described(DATA)).read_bytes() == DATA
    ranges = [each.headers.get("range") for each in odd.asked]
    assert ranges == [None, "bytes=100000-", "bytes=101000-"]


def test_a_server_without_ranges_sends_all_of_it_again(odd: Odd) -> None:
    odd.ranges = False
    odd.put("team/orders", DATA)
    odd.faults.append(Fault("GET", "/blobs/", drop_after=100_000))
    assert registry.blob(team(odd), described(DATA)).read_bytes() == DATA


def test_a_connection_that_always_breaks_is_transient_and_leaves_nothing(odd: Odd, tmp_path: Path) -> None:
    odd.put("team/orders", DATA)
    odd.faults.append(Fault("GET", "/blobs/", times=99, drop_after=10))
    with pytest.raises(ResolveError) as caught:
        registry.blob(team(odd), described(DATA))
    assert caught.value.transient
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_blob_is_asked_for_once(odd: Odd) -> None:
    odd.put("team/orders", DATA)
    for _ in range(2):
        registry.blob(team(odd), described(DATA))
    assert odd.count("GET", "/blobs/") == 1


def test_a_damaged_manifest_in_the_cache_is_fetched_again(odd: Odd) -> None:
    image = images.simple()
    hold(odd, image)
    named = at(team(odd), image.digest)
    registry.manifest(named)
    store.path("blobs", oci.hexed(image.digest)).write_bytes(b"damaged")
    assert registry.manifest_by_digest(named) == image.manifest
    assert odd.count("GET", "/manifests/") == 2


NESTED = b"[" * 100_000
ODD_ANSWERS = {
    "a wait that is no number": Fault("GET", "manifests", 9, 503, {"Retry-After": "\u00b2"}),
    "a redirect to half an address": Fault("GET", "manifests", 9, 307, {"Location": "http://[::1"}),
    "a redirect to no port": Fault("GET", "manifests", 9, 307, {"Location": "http://h:99999999/"}),
    "a login at half an address": Fault("GET", "manifests", 9, 401, {"WWW-Authenticate": 'Bearer realm="http://["'}),
    "an error nested to the sky": Fault("GET", "manifests", 9, 400, {}, NESTED),
    "a manifest nested to the sky": Fault("GET", "manifests", 9, 200, {}, NESTED),
    "a token nested to the sky": Fault("GET", "/token", 9, 200, {}, NESTED),
    "a token that no header can hold": Fault("GET", "/token", 9, 200, {}, '{"token": "\u20ac"}'.encode()),
}


@pytest.mark.parametrize("fault", ODD_ANSWERS)
def test_an_answer_that_makes_no_sense_is_an_error_of_the_registry(fault: str) -> None:
    with oddregistry.serving(realm="SELF/token" if "token" in fault else "") as odd:
        hold(odd, images.simple())
        odd.faults.append(replace(ODD_ANSWERS[fault]))
        with pytest.raises(ResolveError) as caught:
            registry.manifest(team(odd, ":1"))
    assert exit_code(caught.value) in (4, 75)


@pytest.mark.parametrize("location", ["http://[::1", "http://h:99999999/", "file:///x"])
def test_an_upload_to_nowhere(odd: Odd, location: str) -> None:
    odd.faults.append(Fault("POST", "uploads", 9, 202, {"Location": location}))
    with pytest.raises(CdafError, match="not a URL"):
        send(wire.target(team(odd)), DATA)


@pytest.mark.parametrize("token", [f"{SECRET}\n", f"{SECRET}\u20ac"])
def test_a_token_that_no_header_can_hold_is_not_shown(tmp_path: Path, token: str) -> None:
    with oddregistry.serving(user="u", password=SECRET) as odd:
        login(tmp_path, odd.authority, "", "", registrytoken=token)
        with pytest.raises(ResolveError, match="characters that HTTP has not") as caught:
            registry.manifest(team(odd, ":1"))
    assert SECRET not in caught.value.message + caught.value.output


def test_blobs_may_be_kept_elsewhere_and_our_login_stays_here(odd: Odd, tmp_path: Path) -> None:
    odd.user, odd.password = "me", SECRET
    login(tmp_path, odd.authority, "me", SECRET)
    odd.put("team/orders", DATA)
    with oddregistry.serving() as elsewhere:
        elsewhere.blobs = odd.blobs
        odd.storage = elsewhere.address
        assert registry.blob(team(odd), described(DATA)).read_bytes() == DATA
    assert "authorization" not in elsewhere.asked[0].headers


def test_an_image_without_an_index_is_told_by_its_config(odd: Odd) -> None:
    image = images.simple(platform="linux/arm64/v8")
    hold(odd, image)
    assert registry.resolve(team(odd, ":1"), "linux/arm64").digest == image.digest
    with pytest.raises(ResolveError, match="only for linux/arm64/v8"):
        registry.resolve(team(odd, ":1"), "linux/amd64")


@pytest.mark.parametrize(
    ("data", "media_type", "fault"),
    [
        (b"{", oci.MANIFEST, "not JSON"),
        (b"[]", oci.MANIFEST, "not a JSON object"),
        (
            b'{"schemaVersion":1}',
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "a kind that is not known",
        ),
        (b'{"mediaType":"application/x-chart"}', oci.MANIFEST, "a kind that is not known here: application/x-chart"),
        (b'{"layers":[]}', oci.MANIFEST, "not an image manifest"),
        (b'{"manifests":[{"digest":"md5:1"}]}', oci.INDEX, "not an image index"),
        (
            b'{"config":{"mediaType":"application/x-chart","digest":"sha256:%b","size":2},"layers":[]}' % (b"0" * 64),
            oci.MANIFEST,
            "its config is application/x-chart",
        ),
    ],
)
def test_what_is_not_an_image(odd: Odd, data: bytes, media_type: str, fault: str) -> None:
    odd.put_manifest("team/orders", "1", data, media_type)
    with pytest.raises(ResolveError, match=fault):
        registry.resolve(team(odd, ":1"), "linux/amd64")


def test_attestations_in_an_index_are_no_platform(odd: Odd) -> None:
    entry = {"mediaType": oci.MANIFEST, "digest": "sha256:" + "0" * 64, "size": 2}
    index = {"manifests": [{**entry, "platform": {"os": "unknown", "architecture": "unknown"}}, entry]}
    odd.put_manifest("team/orders", "1", json.dumps(index).encode(), oci.INDEX)
    with pytest.raises(ResolveError, match="only for none"):
        registry.resolve(team(odd, ":1"), "linux/amd64")


@pytest.mark.parametrize(
    ("there", "wanted", "chosen"),
    [
        (["linux/arm/v6", "linux/arm/v7"], "linux/arm", 1),
        (["linux/arm/v6", "linux/arm/v7"], "linux/arm/v6", 0),
        (["linux/arm64/v8"], "linux/arm64", 0),
        (["linux/arm64"], "linux/arm64/v8", 0),
        (["linux/amd64/v3", "linux/amd64"], "linux/amd64", 1),
        (["linux/amd64"], "linux/amd64/v3", None),
        (["windows/amd64"], "linux/amd64", None),
    ],
)
def test_variants(there: list[str], wanted: str, chosen: int | None) -> None:
    entries = [Descriptor(oci.MANIFEST, str(number), 1, platform) for number, platform in enumerate(there)]
    found = oci_parse.choose(entries, wanted)
    assert found == (None if chosen is None else entries[chosen])


# Mirrors


def test_a_mirror_stands_in_for_docker_io_alone(odd: Odd, monkeypatch: Any) -> None:
    monkeypatch.setenv("CDAF_REGISTRY_MIRRORS", f"{odd.address}/, https://second.example")
    names = [where.access.base for where in wire.sources(parse("python:3"))]
    assert names == [odd.address, "https://second.example", "https://registry-1.docker.io"]
    assert [where.access.base for where in wire.sources(parse("r.example/python"))] == ["https://r.example"]
    assert wire.target(parse("team/orders")).access.base == "https://registry-1.docker.io"


def test_the_next_is_asked_where_a_mirror_fails(odd: Odd, monkeypatch: Any) -> None:
    image = images.simple()
    odd.put_manifest("library/python", "3", image.manifest, oci.MANIFEST)
    with oddregistry.serving() as empty:
        monkeypatch.setenv("CDAF_REGISTRY_MIRRORS", f"{empty.address},{odd.address}")
        assert registry.manifest(parse("python:3"))[0] == image.manifest
        monkeypatch.setattr(wire, "_DOCKER_IO", empty.address)
        with pytest.raises(ResolveError) as caught:
            registry.manifest(parse("python:4"))
    for server in (empty.authority, odd.authority, "registry docker.io"):
        assert server in caught.value.message


def test_the_engines_mirrors_are_used(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("CDAF_REGISTRY_MIRRORS")
    file = tmp_path / "daemon.json"
    monkeypatch.setattr(wire, "_ENGINE_FILES", (str(tmp_path / "none.json"), str(file)))
    assert wire.mirrors() == ()
    file.write_text('{"registry-mirrors": ["http://127.0.0.1:5000/", "mirror.example"]}')
    assert wire.mirrors() == ("http://127.0.0.1:5000", "https://mirror.example")
    file.write_text("{")
    assert wire.mirrors() == ()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("localhost:5000", "http://localhost:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("registry.example:5000", "https://registry.example:5000"),
    ],
)
def test_loopback_alone_is_plain_http(host: str, url: str) -> None:
    assert wire.base(host) == url


# Tokens


def test_a_token_is_bought_once_and_for_what_is_needed(tmp_path: Path) -> None:
    with oddregistry.serving(realm="SELF/token") as odd:
        asked: list[tuple[str, list[str]]] = []

        def grant(told: str, scopes: list[str]) -> str:
            asked.append((told, scopes))
            return "token-1"

        odd.grants = grant
        login(tmp_path, odd.authority, "me", SECRET)
        where = wire.target(team(odd), ("base/python",))
        assert send(where, DATA)
        assert send(where, DATA + b"2")
    basic = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert asked == [(basic, ["repository:team/orders:pull,push", "repository:base/python:pull"])]


def test_anonymous_tokens() -> None:
    with oddregistry.serving(realm="SELF/token") as odd:
        odd.put("team/orders", DATA)
        assert registry.blob(team(odd), described(DATA)).read_bytes() == DATA
        assert "authorization" not in next(each for each in odd.asked if each.path == "/token").headers


def test_a_token_that_expired_is_renewed() -> None:
    with oddregistry.serving(realm="SELF/token") as odd:
        tokens = iter(["one", "two"])
        odd.grants = lambda *_: next(tokens)
        where = wire.target(team(odd))
        assert send(where, DATA)
        odd.tokens.clear()
        assert not send(where, DATA)
        assert set(odd.tokens) == {"two"}


def test_an_identity_token_buys_access(tmp_path: Path) -> None:
    with oddregistry.serving(realm="SELF/token", refresh={SECRET: "bought"}) as odd:
        login(tmp_path, odd.authority, "", "", identitytoken=SECRET)
        assert send(wire.target(team(odd)), DATA)
        bought = next(each for each in odd.asked if each.path == "/token")
    assert bought.method == "POST"
    assert b"grant_type=refresh_token" in bought.body
    assert SECRET not in json.dumps([each.path + str(each.query) for each in odd.asked])


def test_a_token_server_that_refuses_us(tmp_path: Path) -> None:
    with oddregistry.serving(realm="SELF/token", grants=lambda *_: None) as odd:
        login(tmp_path, odd.authority, "me", SECRET)
        with pytest.raises(PublishError, match="refuses") as caught:
            send(wire.target(team(odd)), DATA)
    assert "docker login" in caught.value.hint
    assert SECRET not in caught.value.message + caught.value.output


def test_a_token_that_does_not_do_ends_after_one_more_try(tmp_path: Path) -> None:
    with oddregistry.serving(realm="SELF/token") as odd:
        odd.grants = lambda *_: "x"
        odd.tokens = {}

        class Never(dict[str, set[str]]):
            def __contains__(self, _: object) -> bool:
                return False

        odd.tokens = Never()
        with pytest.raises(PublishError, match="401"):
            send(wire.target(team(odd)), DATA)
        assert odd.count("GET", "/token") == 1


def test_a_token_server_out_of_order_is_transient() -> None:
    with oddregistry.serving(realm="SELF/token") as odd:
        odd.faults.append(Fault("GET", "/token", times=99, status=503))
        with pytest.raises(CdafError) as caught:
            send(wire.target(team(odd)), DATA)
    assert exit_code(caught.value) == 75


@pytest.mark.parametrize("realm", ["http://tokens.example/token", "ftp://tokens.example/"])
def test_a_login_does_not_go_over_plain_http(realm: str) -> None:
    for base in ("https://registry.example", "http://127.0.0.1:5000"):
        access = auth.Access(base, base.partition("://")[2], ())
        with pytest.raises(CdafError, match="not https"):
            auth.answer(access, f'Bearer realm="{realm}"', None)


def test_an_identity_token_is_not_sent_on_to_another_host(tmp_path: Path) -> None:
    with oddregistry.serving(realm="SELF/token") as odd, oddregistry.serving() as other:
        login(tmp_path, odd.authority, "", "", identitytoken=SECRET)
        odd.faults.append(Fault("POST", "/token", 9, 307, {"Location": f"{other.address}/token"}))
        with pytest.raises(CdafError, match="sends a login on to") as caught:
            send(wire.target(team(odd)), DATA)
    assert SECRET not in caught.value.message
    assert not other.asked


def test_challenges_are_read_as_they_may_be_written() -> None:
    header = 'Basic realm="a, b", Bearer realm="https://x/t",service=plain , scope="a \\"b\\""'
    assert auth.challenges(header) == (
        auth.Challenge("basic", {"realm": "a, b"}),
        auth.Challenge("bearer", {"realm": "https://x/t", "service": "plain", "scope": 'a "b"'}),
    )
    assert auth.challenges("Negotiate") == ()


# Writing to what misbehaves


@pytest.mark.parametrize("absolute", [True, False])
def test_upload_urls_are_used_as_they_are_given(odd: Odd, absolute: bool) -> None:
    odd.absolute = absolute
    assert send(wire.target(team(odd)), DATA)
    assert odd.blobs["team/orders", oci.digest_of(DATA)] == DATA


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
def test_a_registry_that_answers_500_twice_and_then_works(odd: Odd, method: str) -> None:
    odd.faults.append(Fault(method, "/blobs/", times=2, status=500))
    assert send(wire.target(team(odd)), DATA)
    assert odd.blobs["team/orders", oci.digest_of(DATA)] == DATA


def sent(odd: Odd) -> list[str]:
    """Methods and ranges of what came to an upload's URL."""
    steps = [each for each in odd.asked if "/uploads/session" in each.path]
    return [f"{each.method} {each.headers.get('content-range', '')}".strip() for each in steps]


def test_an_upload_that_breaks_off_goes_on_from_what_the_registry_has(odd: Odd) -> None:
    odd.faults.append(Fault("PUT", "/blobs/", drop_upload=True))
    assert send(wire.target(team(odd)), DATA)
    assert odd.blobs["team/orders", oci.digest_of(DATA)] == DATA
    half, size = len(DATA) // 2, len(DATA)
    assert sent(odd) == ["PUT", "GET", f"PATCH {half}-{size - 1}", "PUT"]
    assert odd.count("POST", "/blobs/") == 1


def test_an_upload_that_breaks_off_starts_afresh_where_nobody_knows_how_far_it_was(odd: Odd) -> None:
    odd.progress = False
    odd.faults.append(Fault("PUT", "/blobs/", times=2, drop_upload=True))
    assert send(wire.target(team(odd)), DATA)
    assert odd.blobs["team/orders", oci.digest_of(DATA)] == DATA
    assert odd.count("POST", "/blobs/") == 3


def test_a_session_that_expired_while_the_line_was_broken_starts_afresh(odd: Odd) -> None:
    odd.faults.append(Fault("PUT", "/blobs/", drop_upload=True))
    odd.faults.append(Fault("GET", "/uploads/", status=404, body=b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}'))
    assert send(wire.target(team(odd)), DATA)
    assert sent(odd) == ["PUT", "GET", "PUT"]
    assert odd.count("POST", "/blobs/") == 2


def test_a_large_blob_goes_by_chunks_that_follow_the_registrys_urls(odd: Odd, monkeypatch: Any) -> None:
    monkeypatch.setattr(session, "CHUNK", 400_000)
    assert send(wire.target(team(odd)), DATA)
    assert odd.blobs["team/orders", oci.digest_of(DATA)] == DATA
    assert sent(odd) == ["PATCH 0-399999", "PATCH 400000-799999", "PATCH 800000-1023999", "PUT"]
    states = [each.query["_state"][0] for each in odd.asked if "/uploads/session" in each.path]
    assert states == [f"{SECRET_STATE}-{have}" for have in (0, 400_000, 800_000, 1_024_000)]


def test_chunks_are_as_large_as_the_registry_wants_them(odd: Odd, monkeypatch: Any) -> None:
    monkeypatch.setattr(session, "CHUNK", 100_000)
    odd.least = 700_000
    assert send(wire.target(team(odd)), DATA)
    assert sent(odd) == ["PATCH 0-699999", "PATCH 700000-1023999", "PUT"]


def test_a_registry_that_took_less_of_a_chunk_gets_the_rest(odd: Odd, monkeypatch: Any) -> None:
    monkeypatch.setattr(session, "CHUNK", 700_000)
    odd.takes = 300_000
    assert send(wire.target(team(odd)), DATA)
    assert sent(odd) == ["PATCH 0-699999", "PATCH 300000-999999", "PATCH 1000000-1023999", "PUT"]
    assert odd.blobs["team/orders", oci.digest_of(DATA)] == DATA


@pytest.mark.parametrize("claims", [2, 1_000_000_000])
def test_a_registry_whose_count_makes_no_sense_ends(odd: Odd, monkeypatch: Any, claims: int) -> None:
    monkeypatch.setattr(session, "CHUNK", 400_000)
    odd.claims = claims
    with pytest.raises(PublishError, match=r"bytes of sha256:|answers 416") as caught:
        send(wire.target(team(odd)), DATA)
    assert exit_code(caught.value) in (8, 75)


def test_a_chunk_out_of_order_is_mended_by_asking(odd: Odd, monkeypatch: Any) -> None:
    monkeypatch.setattr(session, "CHUNK", 700_000)
    odd.faults += [Fault("PATCH", "/uploads/", times=0), Fault("PATCH", "/uploads/", status=416)]
    assert send(wire.target(team(odd)), DATA)
    assert sent(odd) == ["PATCH 0-699999", "GET", "PATCH 0-699999", "PATCH 700000-1023999", "PUT"]


def test_a_chunk_that_breaks_off_goes_on_from_what_the_registry_has(odd: Odd, monkeypatch: Any) -> None:
    monkeypatch.setattr(session, "CHUNK", 600_000)
    odd.faults.append(Fault("PATCH", "/uploads/", times=2, drop_upload=True))
    assert send(wire.target(team(odd)), DATA)
    assert sent(odd)[:3] == ["PATCH 0-599999", "GET", "PATCH 300000-899999"]
    assert odd.blobs["team/orders", oci.digest_of(DATA)] == DATA
    assert odd.count("POST", "/blobs/") == 1


def test_a_registry_without_chunks_gets_a_large_blob_whole(odd: Odd, monkeypatch: Any) -> None:
    monkeypatch.setattr(session, "CHUNK", 400_000)
    odd.chunks = False
    assert send(wire.target(team(odd)), DATA)
    assert sent(odd) == ["PATCH 0-399999", "PUT"]
    assert odd.blobs["team/orders", oci.digest_of(DATA)] == DATA


def test_a_wait_that_the_registry_wants_is_waited_and_one_of_an_hour_is_not(odd: Odd, monkeypatch: Any) -> None:
    waited: list[float] = []
    monkeypatch.setattr("cdaf.net.transfers.wait", waited.append)
    odd.faults.append(Fault("PUT", "/blobs/", status=429, headers={"Retry-After": "7"}))
    assert send(wire.target(team(odd)), DATA)
    assert waited == [7.0]
    odd.faults.append(Fault("PUT", "/blobs/", status=503, headers={"Retry-After": "3600"}))
    with pytest.raises(PublishError, match="answers 503") as caught:
        send(wire.target(team(odd)), DATA[1:])
    assert exit_code(caught.value) == 75


@pytest.mark.parametrize("broken", [False, True])
def test_other_bytes_than_the_digest_says_are_told_so(odd: Odd, broken: bool) -> None:
    odd.faults += [Fault("PUT", "/blobs/", drop_upload=True)] if broken else []
    with pytest.raises(PublishError, match="received other bytes than sha256:") as caught:
        upload.upload(wire.target(team(odd)), described(DATA), lambda: io.BytesIO(DATA[:-1] + b"x"))
    assert exit_code(caught.value) == 8
    assert "DIGEST_INVALID" in caught.value.output
    assert not odd.blobs


def test_what_the_registry_garbled_on_resuming_is_sent_again_from_the_start(odd: Odd) -> None:
    odd.faults.append(Fault("PUT", "/blobs/", drop_upload=True))
    odd.faults.append(Fault("PUT", "/blobs/", status=400, body=b'{"errors":[{"code":"DIGEST_INVALID"}]}'))
    assert send(wire.target(team(odd)), DATA)
    assert sent(odd) == ["PUT", "GET", f"PATCH {len(DATA) // 2}-{len(DATA) - 1}", "PUT", "PUT"]


def test_a_file_that_is_shorter_than_its_blob_is_not_begun_to_be_sent(odd: Odd) -> None:
    with pytest.raises(CdafError, match="has 1024000 bytes, and 9 are here"):
        upload.upload(wire.target(team(odd)), described(DATA), lambda: io.BytesIO(DATA[:9]))
    assert sent(odd) == ["DELETE"]


def test_an_upload_that_is_given_up_is_cancelled(odd: Odd) -> None:
    odd.faults.append(Fault("PUT", "/blobs/", status=413))
    with pytest.raises(PublishError, match="413"):
        send(wire.target(team(odd)), DATA)
    assert sent(odd) == ["PUT", "DELETE"]
    assert not odd.uploads


FAULTS = st.sampled_from(
    [
        ("PUT", {"drop_upload": True}),
        ("PATCH", {"drop_upload": True}),
        ("PATCH", {"status": 416}),
        ("PATCH", {"status": 503}),
        ("PUT", {"status": 404}),
        ("GET", {"status": 404}),
        ("POST", {"status": 500}),
        ("HEAD", {"status": 502}),
    ]
)


@hypothesis.settings(max_examples=40, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    faults=st.lists(FAULTS, max_size=4),
    size=st.integers(1, 5000),
    chunk=st.integers(500, 6000),
    least=st.integers(0, 3000),
    takes=st.just(-1) | st.integers(2, 400),
    progress_known=st.booleans(),
)
def test_whatever_breaks_the_blob_that_arrives_is_right(
    odd: Odd, faults: list[Any], size: int, chunk: int, least: int, takes: int, progress_known: bool
) -> None:
    odd.blobs.clear()
    odd.faults[:] = [Fault(method, "/blobs/", **how) for method, how in faults]
    odd.least, odd.takes, odd.progress = least, takes, progress_known
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "CHUNK", chunk)
        assert send(wire.target(team(odd)), DATA[:size])
    assert odd.blobs["team/orders", oci.digest_of(DATA[:size])] == DATA[:size]


def test_a_blob_of_nothing(odd: Odd, registry: serve.Registry) -> None:
    assert send(wire.target(team(odd)), b"")
    assert send(wire.target(team(registry)), b"")


def test_a_real_registry_takes_chunks_and_goes_on_after_a_break(registry: serve.Registry, monkeypatch: Any) -> None:
    monkeypatch.setattr(session, "CHUNK", 400_000)
    with cutting(registry.authority) as line:
        real, times = session.chunk, iter(range(9))

        def chunk(*given: Any) -> Any:
            if next(times) == 1:
                line.cuts.append(100)  # of the second chunk, the registry never hears
            return real(*given)

        monkeypatch.setattr(session, "chunk", chunk)
        assert send(wire.target(team(line)), DATA)
    assert (line.count("POST"), line.count("PATCH"), line.count("GET"), line.count("PUT")) == (1, 4, 1, 1)
    assert upload.has_blob(wire.target(team(registry)), oci.digest_of(DATA))


@pytest.mark.parametrize("size", [400_000, 1 << 26])
def test_a_real_registry_that_loses_a_session_in_mid_blob_gets_it_anew(
    registry: serve.Registry, monkeypatch: Any, size: int
) -> None:
    """Docker's registry gives up an upload whose request broke off in its body (seen with 2.8)."""
    monkeypatch.setattr(session, "CHUNK", size)
    with cutting(registry.authority) as line:
        line.cuts.append(300_000)
        assert send(wire.target(team(line)), DATA)
    assert (line.count("POST"), line.count("GET")) == (2, 1)
    assert upload.has_blob(wire.target(team(registry)), oci.digest_of(DATA))


def test_what_a_broken_upload_sent_does_not_count(odd: Odd, monkeypatch: Any) -> None:
    odd.faults.append(Fault("PUT", "/blobs/", drop_upload=True))
    moved: list[int] = []

    class Counting(progress.Silent):
        def transfer(self, label: str, total: int | None) -> Any:
            import contextlib

            return contextlib.nullcontext(moved.append)

    progress.use(Counting())
    try:
        send(wire.target(team(odd)), DATA)
    finally:
        progress.use(progress.Silent())
    assert sum(moved) == len(DATA)
    assert min(moved) < 0


def test_a_session_that_the_registry_lost_starts_afresh(odd: Odd) -> None:
    odd.faults.append(Fault("PUT", "/blobs/", status=404, body=b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}'))
    assert send(wire.target(team(odd)), DATA)


def test_a_registry_that_stays_out_of_order_is_transient_and_its_urls_stay_secret(odd: Odd) -> None:
    odd.faults.append(Fault("PUT", "/blobs/", times=99, status=503))
    with pytest.raises(CdafError) as caught:
        send(wire.target(team(odd)), DATA)
    assert exit_code(caught.value) == 75
    assert SECRET_STATE not in caught.value.message + caught.value.output + caught.value.hint


def test_a_blob_that_is_refused_is_not_sent_again(odd: Odd) -> None:
    odd.faults.append(Fault("PUT", "/blobs/", times=99, status=413, body=b"too large"))
    with pytest.raises(PublishError, match="answers 413"):
        send(wire.target(team(odd)), DATA)
    assert odd.count("PUT", "/blobs/") == 1


@pytest.mark.parametrize("status", [0, 401, 403])
def test_a_mount_that_is_refused_becomes_an_upload(odd: Odd, status: int) -> None:
    odd.mounts = False
    odd.put("base/python", DATA)
    if status:
        odd.faults.append(Fault("POST", "/blobs/", status=status))
    assert send(wire.target(team(odd), ("base/python",)), DATA, "base/python")


def test_a_manifest_that_is_another_when_read_back(odd: Odd) -> None:
    image = images.simple()
    odd.put_manifest("team/orders", "1", b"{}", oci.MANIFEST)
    odd.faults.append(Fault("PUT", "/manifests/", status=201))
    with pytest.raises(PublishError, match=f"after {image.digest} was put"):
        upload.put_manifest(wire.target(team(odd)), image.manifest, oci.MANIFEST, "1")


def test_a_registry_that_names_no_digest_is_read(odd: Odd) -> None:
    odd.digest_header = False
    where = wire.target(team(odd))
    image = images.simple()
    assert upload.put_manifest(where, image.manifest, oci.MANIFEST, "1") == image.digest
    assert registry.head(where, "1") == image.digest
    assert registry.head(where, "2") is None


def test_warnings_of_a_registry_reach_the_user(odd: Odd) -> None:
    said: list[str] = []

    class Telling(progress.Silent):
        def warn(self, text: str) -> None:
            said.append(text)

    progress.use(Telling())
    try:
        upload.put_manifest(wire.target(team(odd)), b"{}", oci.MANIFEST)
    finally:
        progress.use(progress.Silent())
    assert said == ['the registry says: "this is only a test"']
