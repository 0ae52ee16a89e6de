"""Where archives may come from beside the addresses of the lock: mirrors that Composer's own settings lead to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from cdaf import progress
from cdaf.errors import CdafError
from cdaf.languages._php import auth, lockfile
from cdaf.languages._php.values import Package
from cdaf.net import fetch, http


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
