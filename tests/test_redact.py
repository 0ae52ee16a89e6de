"""The last line of defence against secrets in what is shown."""

import pytest

from cdaf.terminal import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://joe:secret@index.example/simple", "https://***@index.example/simple"),
        ("git+ssh://git@host/x.git", "git+ssh://***@host/x.git"),
        ("two https://a:b@c and http://d@e/f", "two https://***@c and http://***@e/f"),
        ("registry.example/team/orders@sha256:aa", "registry.example/team/orders@sha256:aa"),
        ("oci://registry.example/orders@sha256:aa", "oci://registry.example/orders@sha256:aa"),
        ("mail joe@example.org", "mail joe@example.org"),
    ],
)
def test_userinfo_of_urls(text: str, shown: str) -> None:
    assert redact.text(text, {}) == shown


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("CI_TOKEN", "glpat-12345678", True),
        ("UV_INDEX_OURS_PASSWORD", "Tr0ub4dor&3", True),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI", True),
        ("POSTGRES_PASSWORD", "postgres", False),  # a word: it would blank out image names
        ("SOME_PASSWORD", "short", False),
        ("PASSWORD_FILE", "/run/secrets/password-1", False),
        ("HOSTNAME", "build-machine-17", False),
    ],
)
def test_values_of_telling_variables(name: str, value: str, hidden: bool) -> None:
    assert (redact.text(f"<{value}>", {name: value}) == "<***>") is hidden


def test_longer_values_first() -> None:
    environ = {"A_TOKEN": "abc-12345", "B_TOKEN": "abc-12345-longer"}
    assert redact.text("abc-12345-longer", environ) == "***"
