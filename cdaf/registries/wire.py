"""Where a registry is, and requests to it: mirrors, plain HTTP on loopback, logins, and what a refusal means."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from cdaf.errors import CdafError, PublishError, ResolveError
from cdaf.net import http
from cdaf.net.http import Body, Response
from cdaf.registries import auth
from cdaf.registries.auth import Access
from cdaf.registries.reference import DEFAULT_REGISTRY, Reference

_DOCKER_IO = f"https://registry-1.{DEFAULT_REGISTRY}"
_ENGINE_FILES = ("/etc/docker/daemon.json", "~/.config/docker/daemon.json")
_LOGIN = frozenset({401, 403})


class Repository(msgspec.Struct, frozen=True):
    """A repository at one place: the registry itself, or a mirror of it.

    `failure` is the class of what goes wrong here: ResolveError when reading, PublishError when writing.
    """

    access: Access
    name: str
    label: str  # "registry 127.0.0.1:5000", for messages
    failure: type[CdafError]


def sources(reference: Reference) -> tuple[Repository, ...]:
    """Where to read from, best first: mirrors stand in for `docker.io` alone."""
    rights = (f"repository:{reference.repository}:pull",)
    places = []
    for url in mirrors() if reference.registry == DEFAULT_REGISTRY else ():
        access = Access(url, url.partition("://")[2].partition("/")[0], rights)
        places.append(Repository(access, reference.repository, f"mirror {access.host}", ResolveError))
    own = Access(base(reference.registry), reference.registry, rights)
    return (*places, Repository(own, reference.repository, f"registry {reference.registry}", ResolveError))


def target(reference: Reference, mounted: tuple[str, ...] = ()) -> Repository:
    """Where to write to, with the right to read the repositories that blobs are mounted from."""
    rights = (f"repository:{reference.repository}:pull,push", *(f"repository:{each}:pull" for each in mounted))
    access = Access(base(reference.registry), reference.registry, rights, publishing=True)
    return Repository(access, reference.repository, f"registry {reference.registry}", PublishError)


def without_mounts(where: Repository) -> Repository:
    """The same, with rights on its own repository alone."""
    access = msgspec.structs.replace(where.access, scopes=where.access.scopes[:1])
    return msgspec.structs.replace(where, access=access)


def base(registry: str) -> str:
    """A registry's URL: https, but plain HTTP on loopback."""
    if registry == DEFAULT_REGISTRY:
        return _DOCKER_IO
    host = registry.rpartition("]")[0].lstrip("[") if registry.startswith("[") else registry.partition(":")[0]
    return f"{'http' if http.is_loopback(host) else 'https'}://{registry}"


def mirrors() -> tuple[str, ...]:
    """Mirrors of `docker.io`: CDAF_REGISTRY_MIRRORS (URLs, by commas), else those of the engine's configuration."""
    chosen = os.environ.get("CDAF_REGISTRY_MIRRORS")
    if chosen is not None:
        found = [each.strip() for each in chosen.split(",")]
    else:
        found = next(filter(None, map(_configured, _ENGINE_FILES)), [])
    return tuple((each if "://" in each else base(each)).rstrip("/") for each in found if each)


def request(
    where: Repository,
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: Body = None,
    *,
    once: bool = False,
) -> Response:
    """Send a request, logging in once when the registry asks for it; our login goes to the registry's own URLs alone.

    `url` may be a path below `/v2/<repository>/`. A second 401 is returned as it is. `once` is for what is not sent
    again blindly, see `http.once`.
    """
    ask = http.once if once else http.send
    full = url if "://" in url else f"{where.access.base}/v2/{where.name}/{url}"
    own = http.same_origin(full, where.access.base)
    sent = auth.known(where.access) if own else None
    response = ask(method, full, _with(headers, sent), body)
    if response.status != 401 or not own:
        return response
    try:
        value = auth.answer(where.access, response.headers.get("WWW-Authenticate", ""), sent)
    except CdafError:
        http.close(response)
        raise
    if value is None:
        return response
    http.close(response)
    return ask(method, full, _with(headers, value), body)


def refusal(where: Repository, response: Response, what: str) -> CdafError:
    """What an answer that is not a success means to the user; reads the answer."""
    said = said_in(response)
    if response.status in _LOGIN:
        missing = "" if auth.known(where.access) else ", which knows no login of yours"
        return where.failure(
            f"{where.label} refuses {what} of {where.name} ({response.status}){missing}",
            f"run `docker login {where.access.host}` with an account that has the right",
            said,
        )
    if response.status == 404:
        return where.failure(f"{where.label} has no {what} of {where.name}", "check the name", said)
    return where.failure(f"{where.label} answers {response.status} to {what} of {where.name}", "", said)


def said_in(response: Response) -> str:
    """The registry's own words: code and message of each error (OCI distribution-spec, error codes)."""
    try:
        found = json.loads(http.read(response, 1 << 20))
        errors = found["errors"]
        lines = [f"{each.get('code', '')}: {each.get('message', '')}" for each in errors]
    except (CdafError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ""
    return "\n".join("".join(filter(str.isprintable, line))[:300] for line in lines[:5])


def _with(headers: Mapping[str, str] | None, value: str | None) -> dict[str, str]:
    return {**(headers or {}), **({"Authorization": value} if value else {})}


def _configured(name: str) -> list[str]:
    try:
        found: Any = json.loads(Path(name).expanduser().read_bytes())
    except (OSError, ValueError, RuntimeError):  # RecursionError is one of the last
        return []
    listed = found.get("registry-mirrors") if isinstance(found, dict) else None
    return [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
