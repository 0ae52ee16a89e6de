"""Logins are found where users keep them, and shown nowhere."""

import base64
import json
from pathlib import Path

import pytest

from cdaf import progress
from cdaf.registries import credentials
from cdaf.registries.credentials import Credentials

SECRET = "geheim-4711"


class Warnings(progress.Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE", "NETRC", "UV_KEYRING_PROVIDER", "PIP_KEYRING_PROVIDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "docker").mkdir()
    (tmp_path / "bin").mkdir()
    return tmp_path


@pytest.fixture
def warnings() -> Warnings:
    sink = Warnings()
    progress.use(sink)
    return sink


def auth(user: str, secret: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


def config(home: Path, content: object) -> None:
    (home / "docker" / "config.json").write_text(json.dumps(content))


def program(home: Path, name: str, text: str) -> None:
    (home / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
    (home / "bin" / name).chmod(0o755)


@pytest.mark.parametrize(
    "key", ["registry.example:5000", "https://registry.example:5000", "https://registry.example:5000/v2/"]
)
def test_a_login_of_the_engines_config(home: Path, key: str) -> None:
    config(home, {"auths": {"other.example": auth("no"), key: auth("me", "with:colon")}})
    assert credentials.for_registry("registry.example:5000") == Credentials("me", "with:colon")
    assert credentials.for_registry("registry.example") is None


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_docker_io_has_a_key_of_its_own(home: Path, host: str) -> None:
    config(home, {"auths": {"https://index.docker.io/v1/": auth("me")}})
    assert credentials.for_registry(host) == Credentials("me", SECRET)


def test_tokens_in_the_engines_config(home: Path) -> None:
    config(home, {"auths": {"a.example": {"identitytoken": "i"}, "b.example": {"registrytoken": "r"}}})
    assert credentials.for_registry("a.example") == Credentials(identity_token="i")
    assert credentials.for_registry("b.example") == Credentials(registry_token="r")


def test_a_helper_for_the_host_goes_before_the_general_one_and_that_before_the_file(home: Path) -> None:
    answer = 'read host; echo "{\\"ServerURL\\":\\"$host\\",\\"Username\\":\\"NAME-$host\\",\\"Secret\\":\\"s\\"}"'
    program(home, "docker-credential-one", answer.replace("NAME", "one"))
    program(home, "docker-credential-two", answer.replace("NAME", "two"))
    config(home, {"credHelpers": {"a.example": "one"}, "credsStore": "two", "auths": {"b.example": auth("no")}})
    assert credentials.for_registry("a.example") == Credentials("one-a.example", "s")
    assert credentials.for_registry("b.example") == Credentials("two-b.example", "s")
    assert credentials.for_registry("docker.io") == Credentials("two-https://index.docker.io/v1/", "s")


def test_a_helper_may_hold_an_identity_token(home: Path) -> None:
    program(home, "docker-credential-one", 'echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"i\\"}"')
    config(home, {"credsStore": "one"})
    assert credentials.for_registry("a.example") == Credentials(identity_token="i")


def test_a_helper_that_knows_nothing_leaves_it_to_the_file(home: Path, warnings: Warnings) -> None:
    program(home, "docker-credential-one", "echo credentials not found in native keychain; exit 1")
    config(home, {"credsStore": "one", "auths": {"a.example": auth("me")}})
    assert credentials.for_registry("a.example") == Credentials("me", SECRET)
    assert not warnings.said


@pytest.mark.parametrize("text", ["", "echo not json", "echo []", "echo 5", "yes [ | head -99999"])
def test_a_helper_out_of_order_is_said_and_not_fatal(home: Path, warnings: Warnings, text: str) -> None:
    if text:
        program(home, "docker-credential-one", text)
    config(home, {"credsStore": "one"})
    assert credentials.for_registry("a.example") is None
    assert "docker-credential-one" in warnings.said[0]


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": []}', '{"auths": {"a.example": {"auth": "%%%"}}}'])
def test_a_damaged_config_is_no_login(home: Path, warnings: Warnings, text: str) -> None:
    (home / "docker" / "config.json").write_text(text)
    assert credentials.for_registry("a.example") is None


def test_podmans_file_names_repositories_too_and_the_longest_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = home / "auth.json"
    file.write_text(json.dumps({"auths": {"a.example/team": auth("team"), "a.example": auth("host")}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
    assert credentials.for_registry("a.example", "team/orders") == Credentials("team", SECRET)
    assert credentials.for_registry("a.example", "other") == Credentials("host", SECRET)


def test_the_environments_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDAF_REGISTRY_USERNAME", "ci")
    assert credentials.from_environment() is None
    monkeypatch.setenv("CDAF_REGISTRY_PASSWORD", SECRET)
    assert credentials.from_environment() == Credentials("ci", SECRET)


def test_a_login_shows_no_secret() -> None:
    assert SECRET not in repr(Credentials("me", SECRET, SECRET, SECRET)) + str([Credentials("me", SECRET)])


def test_an_indexs_variables_go_before_its_url(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://url%40user:url%2Fpass@index.example/simple"
    assert credentials.for_index(url, "my-index") == Credentials("url@user", "url/pass")
    monkeypatch.setenv("UV_INDEX_MY_INDEX_USERNAME", "env")
    monkeypatch.setenv("UV_INDEX_MY_INDEX_PASSWORD", SECRET)
    assert credentials.for_index(url, "my-index") == Credentials("env", SECRET)
    assert credentials.for_index("https://index.example/simple") is None


def test_netrc(home: Path, monkeypatch: pytest.MonkeyPatch, warnings: Warnings) -> None:
    (home / ".netrc").write_text(f"machine index.example login me password {SECRET}\n")
    assert credentials.for_index("https://index.example:8443/simple") == Credentials("me", SECRET)
    assert credentials.for_index("https://me@index.example/simple") == Credentials("me", SECRET)
    assert credentials.for_index("https://you@index.example/simple") == Credentials("you", "")
    assert credentials.for_index("https://other.example/simple") is None
    (home / ".netrc").write_text(f"machine index.example login me password\nlogin {SECRET}\n")
    assert credentials.for_index("https://index.example/simple") is None
    assert warnings.said
    assert SECRET not in warnings.said[0]


def test_the_keyring_program_when_uv_is_told_to_use_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(home, "keyring", f'[ "$2" = index.example ] && [ "$3" = me ] && echo {SECRET}')
    url = "https://me@index.example/simple"
    assert credentials.for_index(url) == Credentials("me", "")
    monkeypatch.setenv("UV_KEYRING_PROVIDER", "subprocess")
    assert credentials.for_index(url) == Credentials("me", SECRET)


def test_basic() -> None:
    assert credentials.basic(Credentials("me", "ü")) == "Basic " + base64.b64encode("me:ü".encode()).decode()
