"""Who we are to registries and indexes: read from where users keep it already, never written, never shown.

Registries: the engine's `config.json` and its helpers, then podman's `auth.json`. Indexes: `UV_INDEX_<NAME>_…`, the
URL's own userinfo, netrc, and the keyring program when uv or pip are told to use it.
"""

import base64
import binascii
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from cdaf import progress
from cdaf.errors import CdafError
from cdaf.registries.reference import DEFAULT_REGISTRY

_DOCKER_IO = frozenset({DEFAULT_REGISTRY, f"index.{DEFAULT_REGISTRY}", f"registry-1.{DEFAULT_REGISTRY}"})
_DOCKER_IO_KEY = f"https://index.{DEFAULT_REGISTRY}/v1/"
_IDENTITY = "<token>"  # the helper protocol's user name for an identity token
_HELPER_SECONDS = 60


class Credentials(msgspec.Struct, frozen=True):
    """A login: user name and secret, or one of the two kinds of token; its text shows no secret."""

    username: str = ""
    secret: str = ""
    identity_token: str = ""  # buys access tokens (OAuth2 refresh token)
    registry_token: str = ""  # is an access token

    def __repr__(self) -> str:
        return "Credentials(…)"


def basic(found: Credentials) -> str:
    """The `Authorization` header's value for HTTP Basic (RFC 7617)."""
    pair = f"{found.username}:{found.secret}".encode()
    return "Basic " + base64.b64encode(pair).decode()


def for_registry(host: str, repository: str = "") -> Credentials | None:
    """The login for a registry: `host[:port]`, or `docker.io`; podman's files may name a repository below it, too.

    In each file a helper for that host goes before the general one, and that before what the file holds itself.
    """
    for path in _registry_files():
        found = _from_config(_json(path), host, repository)
        if found:
            return found
    return None


def known_registries() -> tuple[str, ...]:
    """The registries that some file has a login for, by name, and the stores that keep a list of their own."""
    files = [_json(path) for path in _registry_files()]
    stores = {f"all in {store}" for config in files if (store := config.get("credsStore"))}
    named = {_plain(key) for config in files for table in ("auths", "credHelpers") for key in _table(config, table)}
    return (*sorted(named), *sorted(stores))


def from_environment() -> Credentials | None:
    """The login that CI hands over for the registry it publishes to: CDAF_REGISTRY_USERNAME and …_PASSWORD."""
    name, secret = os.environ.get("CDAF_REGISTRY_USERNAME"), os.environ.get("CDAF_REGISTRY_PASSWORD")
    return Credentials(name, secret) if name and secret else None


def for_index(url: str, name: str = "") -> Credentials | None:
    """The login for a package index by its URL; `name` is what the user calls the index (uv's `[[tool.uv.index]]`)."""
    parts = urlsplit(url)
    user, secret = unquote(parts.username or ""), unquote(parts.password or "")
    key = "UV_INDEX_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
    user = (name and os.environ.get(f"{key}_USERNAME")) or user
    secret = (name and os.environ.get(f"{key}_PASSWORD")) or secret
    if user and secret:
        return Credentials(user, secret)
    host = parts.hostname or ""
    return _from_netrc(host, user) or _from_keyring(url, user) or (Credentials(user, "") if user else None)


def _registry_files() -> Iterator[Path]:
    folder = os.environ.get("DOCKER_CONFIG")
    yield (Path(folder) if folder else _home() / ".docker") / "config.json"
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    yield _home() / ".config" / "containers" / "auth.json"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a container's user without an entry in passwd
        return Path("/")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        progress.warn(f"{path} is ignored: {reason}")
        return {}
    return found if isinstance(found, dict) else {}


def _from_config(config: dict[str, Any], host: str, repository: str) -> Credentials | None:
    keys = _keys(host)
    helpers = _table(config, "credHelpers")
    named = next((name for key, name in helpers.items() if _plain(key) in keys), None)
    for helper in (named, config.get("credsStore")):
        if isinstance(helper, str) and helper and (found := _from_helper(helper, _server(host))):
            return found
    return _from_auths(_table(config, "auths"), keys, repository)


def _table(config: dict[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _keys(host: str) -> frozenset[str]:
    return _DOCKER_IO if host in _DOCKER_IO else frozenset({host})


def _server(host: str) -> str:
    return _DOCKER_IO_KEY if host in _DOCKER_IO else host


def _plain(key: str) -> str:
    """A key of `auths` without its scheme and API version: `https://host/v1/` is `host`."""
    return re.sub(r"/v[12]/?$", "", key.partition("://")[2] or key).rstrip("/")


def _from_auths(auths: dict[str, Any], keys: frozenset[str], repository: str) -> Credentials | None:
    wanted = [f"{key}/{part}".rstrip("/") for part in _prefixes(repository) for key in sorted(keys)]
    plain = {_plain(key): value for key, value in auths.items() if isinstance(value, dict)}
    for key in wanted:
        if key in plain and (found := _entry(plain[key])):
            return found
    return None


def _prefixes(repository: str) -> list[str]:
    """`a/b/c`, `a/b`, `a` and nothing: the longest key of containers-auth.json(5) wins."""
    parts = repository.split("/") if repository else []
    return ["/".join(parts[:length]) for length in range(len(parts), -1, -1)]


def _entry(entry: dict[str, Any]) -> Credentials | None:
    user, secret = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            user, _, secret = base64.b64decode(str(entry["auth"])).decode().rstrip("\0").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            progress.warn("a login in the engine's config.json is ignored: its auth is not base64")
            return None
    found = Credentials(user, secret, str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or ""))
    return found if found != Credentials() else None


def _from_helper(helper: str, server: str) -> Credentials | None:
    """Ask `docker-credential-<helper> get`; nothing found is an answer, a helper that cannot run is a warning."""
    from cdaf import process  # few have one, and starting programs takes a while to import

    program = f"docker-credential-{helper}"
    try:
        done = process.run([program, "get"], stdin=server.encode(), timeout=_HELPER_SECONDS)
        found = json.loads(done.stdout) if done.code == 0 else {}
    except CdafError as error:
        progress.warn(f"no login from {program}: {error.message}")
        return None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        progress.warn(f"no login from {program}: its answer is not a JSON object")
        return None
    user, secret = str(found.get("Username") or ""), str(found.get("Secret") or "")
    if not secret:
        return None
    return Credentials(identity_token=secret) if user == _IDENTITY else Credentials(user, secret)


def _from_netrc(host: str, user: str) -> Credentials | None:
    import netrc

    path = Path(os.environ.get("NETRC") or _home() / ".netrc")
    try:
        found = netrc.netrc(str(path)).authenticators(host)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
        # The parser's own words may quote a secret.
        reason = (
            f"line {error.lineno} is not netrc" if isinstance(error, netrc.NetrcParseError) else "it is not readable"
        )
        progress.warn(f"{path} is ignored: {reason}")
        return None
    if not found or (user and found[0] != user):
        return None
    return Credentials(found[0], found[2] or "")


def _from_keyring(url: str, user: str) -> Credentials | None:
    """Ask the `keyring` program, when uv or pip are told to (`UV_KEYRING_PROVIDER`, `PIP_KEYRING_PROVIDER`)."""
    if "subprocess" not in {os.environ.get("UV_KEYRING_PROVIDER"), os.environ.get("PIP_KEYRING_PROVIDER")}:
        return None
    from cdaf import process

    if not user or not process.find("keyring"):
        return None
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    for service in (f"{parts.scheme}://{host}{parts.path}", host):
        done = process.run(["keyring", "get", service, user], timeout=_HELPER_SECONDS)
        secret = done.stdout.decode(errors="replace").rstrip("\r\n")
        if done.code == 0 and secret:
            return Credentials(user, secret)
    return None
