"""Logging in to registries: Basic and Bearer challenges, tokens kept for the run (distribution's token specification).

A registry says in its 401 what it wants; a token is bought once for each registry and set of rights.
"""

import json
import re
import threading
from urllib.parse import urlencode, urlsplit

import msgspec

from cdaf.errors import CdafError
from cdaf.net import http
from cdaf.registries import credentials
from cdaf.registries.credentials import Credentials

_PARAMETER = re.compile(r'([A-Za-z_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_SCHEME = re.compile(r"(?:^|,)\s*(Basic|Bearer)\b", re.IGNORECASE)
_CLIENT = "cdaf"
_LOGIN_REFUSED = frozenset({400, 401, 403})

_known: dict["Access", str] = {}
_lock = threading.Lock()


class Access(msgspec.Struct, frozen=True):
    """What a request needs: the registry's URL and host, and the rights on its repositories.

    `publishing` also takes the login that CI hands over by environment; it is for the target's registry alone.
    """

    base: str
    host: str
    scopes: tuple[str, ...]
    publishing: bool = False


class Challenge(msgspec.Struct, frozen=True):
    """One way to log in that a registry offers."""

    scheme: str
    parameters: dict[str, str]


def known(access: Access) -> str | None:
    """The `Authorization` value that served last, if any."""
    return _known.get(access)


def forget() -> None:
    """Drop every token; for tests."""
    _known.clear()


def answer(access: Access, header: str, refused: str | None) -> str | None:
    """The `Authorization` value that answers a `WWW-Authenticate` header; None when there is nothing to offer.

    `refused` is the value that was just refused: a token that another thread renewed meanwhile is taken instead. Raises
    CdafError, transient when the token server is out of order.
    """
    with _lock:
        renewed = _known.get(access)
        if renewed and renewed != refused:
            return renewed
        _known.pop(access, None)
        value = _value(access, challenges(header))
        if value:
            _known[access] = value
        return value


def challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of a `WWW-Authenticate` header (RFC 9110, 11.6.1), of the two schemes that registries use."""
    starts = [*_SCHEME.finditer(header)]
    ends = [*(found.start() for found in starts), len(header)][1:]
    return tuple(
        Challenge(found.group(1).lower(), _parameters(header[found.end() : end]))
        for found, end in zip(starts, ends, strict=True)
    )


def _parameters(text: str) -> dict[str, str]:
    return {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
        for name, quoted, plain in _PARAMETER.findall(text)
    }


def _value(access: Access, offered: tuple[Challenge, ...]) -> str | None:
    repository = access.scopes[0].split(":")[1] if access.scopes else ""
    login = (credentials.from_environment() if access.publishing else None) or credentials.for_registry(
        access.host, repository
    )
    if login and login.registry_token:
        return f"Bearer {login.registry_token}"
    bearer = next((each for each in offered if each.scheme == "bearer" and each.parameters.get("realm")), None)
    if bearer:
        return _bearer(access, bearer.parameters, login)
    if login and login.username and any(each.scheme == "basic" for each in offered):
        return credentials.basic(login)
    return None


def _bearer(access: Access, parameters: dict[str, str], login: Credentials | None) -> str | None:
    realm = http.joined(access.base, parameters["realm"])
    parts = urlsplit(realm)
    plain = parts.scheme != "https" and not http.is_loopback(parts.hostname or "")
    if parts.scheme not in {"http", "https"} or (plain and not http.same_origin(realm, access.base)):
        raise CdafError(f"registry {access.host} asks for a login at {http.clean(realm)}, which is not https")
    scopes = access.scopes or tuple(filter(None, [parameters.get("scope")]))
    with _ask(realm, parameters.get("service", ""), scopes, login) as response:
        if response.status in _LOGIN_REFUSED:
            return None
        data = http.read(response, 1 << 20)
        token = _token(data) if response.status == 200 else None
    if not token:
        raise CdafError(f"{http.clean(realm)}, where registry {access.host} sends for tokens, answered without one")
    return f"Bearer {token}"


def _ask(realm: str, service: str, scopes: tuple[str, ...], login: Credentials | None) -> http.Response:
    """GET with Basic, or POST (OAuth2) for an identity token; both are in the token specification."""
    common = [("service", service)] if service else []
    if login and login.identity_token:
        form = [*common, ("scope", " ".join(scopes)), ("client_id", _CLIENT), ("grant_type", "refresh_token")]
        body = urlencode([*form, ("refresh_token", login.identity_token)]).encode()
        return http.send("POST", realm, {"Content-Type": http.FORM}, body)
    query = urlencode([*common, *(("scope", scope) for scope in scopes), ("client_id", _CLIENT)])
    headers = {"Authorization": credentials.basic(login)} if login and login.username else {}
    return http.get(f"{realm}{'&' if '?' in realm else '?'}{query}", headers)


def _token(data: bytes) -> str | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    token = (found.get("token") or found.get("access_token")) if isinstance(found, dict) else None
    return token if isinstance(token, str) and token.isascii() and token.isprintable() else None
