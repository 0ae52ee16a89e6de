"""Where archives may come from beside the addresses of the lock: mirrors that Composer's own settings lead to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cdaf import progress
from cdaf.errors import CdafError, ResolveError
from cdaf.languages._php import auth, lockfile
from cdaf.languages._php.values import Package
from cdaf.net import fetch, http

Moved = Callable[[int], None]
_CHUNK = 1 << 20


def known(headers: fetch.Headers) -> tuple[str, ...]:
    """The mirrors' templates of all repositories in the config.json of COMPOSER_HOME, preferred ones alone."""
    found: list[str] = []
    for url in _repositories():
        try:
            with http.get(url, headers(url)) as answer:
                told = json.loads(http.read(answer)) if answer.status == 200 else {}
        except (CdafError, ValueError) as error:
            progress.note(f"{http.clean(url)} tells of no mirrors: {error}")
            continue
        listed = told.get("mirrors") if isinstance(told, dict) else None
        found += [str(each["dist-url"]) for each in listed or () if each.get("dist-url") and each.get("preferred")]
    return tuple(dict.fromkeys(found))


def _repositories() -> Iterator[str]:
    path = auth.home() / "config.json"
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return
    listed = told.get("repositories") if isinstance(told, dict) else None
    for each in (listed.values() if isinstance(listed, dict) else listed) or ():
        url = each.get("url") if isinstance(each, dict) and each.get("type") == "composer" else None
        if isinstance(url, str) and url.startswith(("http://", "https://")):
            yield url if url.endswith(".json") else f"{url.rstrip('/')}/packages.json"


def of(templates: Sequence[str], package: Package) -> list[str]:
    """A package's addresses by these templates."""
    entry: dict[str, Any] = {
        "name": package.name,
        "version": package.version,
        "dist": {"reference": package.commit, "type": package.form},
    }
    return [lockfile.mirrored(each, entry) for each in templates]


def chunks(label: str, url: str, headers: fetch.Headers) -> Iterator[bytes]:
    """The bytes behind an address, or of a file of this machine. Raises ResolveError, or a transient error."""
    parts = urlsplit(url)
    if url.startswith("/") or parts.scheme == "file":
        try:
            with Path(unquote(parts.path) if parts.scheme else url).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise ResolveError(
                f"{label}: {url} cannot be read: {error.strerror}", "put it back, or lock again"
            ) from error
        return
    response = http.get(url, {**headers(url), "Accept-Encoding": "identity"})
    if response.status != 200:
        http.close(response)
        place, status = http.clean(url), response.status
        if status in (401, 403):
            hint = "give them by COMPOSER_AUTH or auth.json"
            raise ResolveError(f"{label}: {place} answered {status}: it wants other credentials", hint)
        raise ResolveError(f"{label}: {place} answered {status}", "lock again: the index has it no longer")
    yield from http.stream(response)
