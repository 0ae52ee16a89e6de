"""Who we are to the servers that a lock names: COMPOSER_AUTH and auth.json, as Composer reads them."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cdaf.errors import ProjectError
from cdaf.net import fetch

_GITHUB = ("api.github.com", "codeload.github.com")  # hosts that a login of github.com serves


def home() -> Path:
    """Composer's folder of settings: COMPOSER_HOME, or what stands for it on this system."""
    if told := os.environ.get("COMPOSER_HOME"):
        return Path(told)
    old = Path.home() / ".composer"
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "composer"
    return config if config.is_dir() or not old.is_dir() else old


def headers(root: Path) -> fetch.Headers:
    """A function from a URL to the headers that log in there; the environment goes before files.

    Raises ProjectError for settings that are no JSON.
    """

    known = list(_tables(root))

    def of(url: str) -> Mapping[str, str]:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            return {}
        if parts.username:
            return {"Authorization": _basic(parts.username, parts.password or "")}
        hosts: tuple[str, ...] = (parts.netloc.rpartition("@")[2].lower(), (parts.hostname or "").lower())
        hosts = (*hosts, "github.com") if parts.hostname in _GITHUB else hosts
        found = (_login(table, host) for table in known for host in dict.fromkeys(hosts))
        return next(filter(None, found), {})

    return of


def _tables(root: Path) -> Iterator[dict[str, Any]]:
    told = os.environ.get("COMPOSER_AUTH")
    if told:
        yield _parsed(told, "COMPOSER_AUTH")
    for path in (root / "auth.json", home() / "auth.json"):
        if path.is_file():
            yield _parsed(path.read_text(errors="replace"), str(path))


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProjectError(f"{name} is not a JSON object", "mend it, or take it away")  # never with its text
    return found


def _login(table: Mapping[str, Any], host: str) -> dict[str, str]:
    def of(kind: str) -> Any:
        found = table.get(kind)
        return found.get(host) if isinstance(found, dict) else None

    basic = of("http-basic")
    if isinstance(basic, dict):
        return {"Authorization": _basic(str(basic.get("username", "")), str(basic.get("password", "")))}
    if token := of("bearer"):
        return {"Authorization": f"Bearer {token}"}
    if token := of("github-oauth"):
        return {"Authorization": f"token {token}"}
    for kind in ("gitlab-oauth", "gitlab-token"):  # GitLab takes both as bearers, which no redirect carries elsewhere
        if token := of(kind):
            return {"Authorization": f"Bearer {token.get('token') if isinstance(token, dict) else token}"}
    return {}


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
