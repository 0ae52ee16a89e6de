"""References are read as every container tool reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdaf.errors import ResolveError
from cdaf.registries import reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("python", "docker.io/library/python"),
        ("python:3.13-slim", "docker.io/library/python:3.13-slim"),
        ("team/orders", "docker.io/team/orders"),
        ("docker.io/python", "docker.io/library/python"),
        ("index.docker.io/team/orders:1", "docker.io/team/orders:1"),
        ("localhost/orders", "localhost/orders"),
        ("localhost:5000/orders:1", "localhost:5000/orders:1"),
        ("127.0.0.1:5000/team/orders", "127.0.0.1:5000/team/orders"),
        ("[::1]:5000/orders:1", "[::1]:5000/orders:1"),
        ("registry.example/a/b/c:1.0_x-y", "registry.example/a/b/c:1.0_x-y"),
        (f"python@{DIGEST}", f"docker.io/library/python@{DIGEST}"),
        (f"python:3@{DIGEST}", f"docker.io/library/python:3@{DIGEST}"),
        ("a__b/c-.d".replace("-.", "--"), "docker.io/a__b/c--d"),
    ],
)
def test_names_as_users_write_them(text: str, canonical: str) -> None:
    assert str(reference.parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "names no repository"),
        ("Team/Orders", "lower-case"),
        ("registry.example/", "names no repository"),
        ("orders:", "tag"),
        ("orders:a b", "tag"),
        ("orders:" + "x" * 129, "tag"),
        ("orders@sha256:abc", "digest"),
        ("orders@", "digest"),
        ("a//b", "lower-case"),
        ("a/../b", "lower-case"),
        ("regis try.example/b", "not a host"),
        ("r.example/" + "x" * 250, "longer than 255"),
    ],
)
def test_what_is_no_reference(text: str, fault: str) -> None:
    with pytest.raises(ResolveError, match=fault):
        reference.parse(text)


def test_all_faults_of_a_reference_come_at_once() -> None:
    with pytest.raises(ResolveError) as caught:
        reference.parse("Orders:a b@sha256:1")
    assert all(word in caught.value.message for word in ("lower-case", "tag", "digest"))


def test_tag_and_digest() -> None:
    named = reference.parse("python")
    assert reference.tagged(named).tag == "latest"
    assert reference.tagged(reference.at(named, DIGEST)).tag == ""
    assert reference.is_tag("1.4.0-g1a2b")
    assert not reference.is_tag("1.4.0+g1a2b")


@given(st.text(max_size=80))
def test_any_text_is_read_back_or_refused(text: str) -> None:
    try:
        named = reference.parse(text)
    except ResolveError:
        return
    assert reference.parse(str(named)) == named


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:hunter2@host/x", "https://***@host/x"),
        ("me:hunter2@host:5000/x:1@sha256:" + "a" * 64, "***@host:5000/x:1@sha256:" + "a" * 64),
        ("me:p@hunter2@host/x", "***@host/x"),
        ("token@host/x", "***@host/x"),
        ("me:hunter2@postgres:17", "***@postgres:17"),
    ],
)
def test_a_login_is_not_shown(text: str, shown: str) -> None:
    assert reference.holds_login(text)
    assert reference.shown(text) == shown
    with pytest.raises(ResolveError) as raised:
        reference.parse(text)
    assert "hunter2" not in raised.value.message


@pytest.mark.parametrize("text", ["python", "python:3", "h:5/a/b@sha256:" + "0" * 64, "python@sha256", "a:1@sha512:00"])
def test_a_digest_is_no_login(text: str) -> None:
    assert not reference.holds_login(text)
    assert reference.shown(text) == text
