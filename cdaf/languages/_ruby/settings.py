"""Bundler's own settings, as far as they say where gems come from: mirrors and logins, from files and environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cdaf.languages._ruby import lockfile
from cdaf.net import fetch, http

_ENTRY = re.compile(r"""(BUNDLE_\S+):\s+(["']?)(.*)\2\s*""")


def read(folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Every setting by its key as files have it: the project's file before the environment before the user's."""
    local = Path(environ.get("BUNDLE_APP_CONFIG") or ".bundle")
    home = Path(environ.get("HOME") or Path.home())
    user = Path(environ.get("BUNDLE_USER_HOME") or home / ".bundle") / "config"
    user = Path(environ.get("BUNDLE_USER_CONFIG") or user)
    own = {key: value for key, value in environ.items() if key.startswith("BUNDLE_")}
    return {**_file(user), **own, **_file(folder / local / "config")}


def _file(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return {}
    found = (_ENTRY.fullmatch(line) for line in text.splitlines())
    return {each[1]: each[3] for each in found if each}


def key(name: str) -> str:
    """A setting's key, "mirror.https://gems.example/" as BUNDLE_MIRROR__HTTPS://GEMS__EXAMPLE/."""
    return "BUNDLE_" + name.replace(".", "__").replace("-", "___").upper()


def mirrored(remote: str, settings: Mapping[str, str]) -> str:
    """Where an index's gems are fetched from, without login and final slash: a mirror of it, of all, or itself."""
    plain = lockfile.clean(remote)
    known = {name.rstrip("/"): value for name, value in settings.items()}
    found = known.get(key(f"mirror.{plain}")) or settings.get("BUNDLE_MIRROR__ALL") or remote
    return lockfile.clean(found)


def headers(settings: Mapping[str, str], lock: bytes) -> fetch.Headers:
    """A function from a URL to the headers that log in there.

    Bundler's settings for the host or the index come first, then what an address of the lock or a mirror's carries,
    then netrc and the keyring.
    """
    carried = {**_in_addresses(settings), **lockfile.credentials(lock)}

    @lru_cache(maxsize=64)
    def login(origin: str) -> Mapping[str, str]:
        from cdaf.registries import credentials

        host = urlsplit(origin).netloc
        told = _told(origin, settings) or carried.get(host)
        found = credentials.Credentials(*told) if told else credentials.for_index(origin)
        return {"Authorization": credentials.basic(found)} if found else {}

    def of(url: str) -> Mapping[str, str]:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2].lower()
        return login(f"{parts.scheme}://{host}") if parts.scheme in ("http", "https") else {}

    return of


def _told(origin: str, settings: Mapping[str, str]) -> tuple[str, str] | None:
    parts = urlsplit(origin)
    by_url = [name for name in settings if http.same_origin(_url(name), origin)]
    for name in (*by_url, key(parts.netloc), key(parts.hostname or "")):
        user, colon, secret = settings.get(name, "").partition(":")
        if user and not name.startswith("BUNDLE_MIRROR__"):
            return unquote(user), unquote(secret) if colon else ""
    return None


def _url(name: str) -> str:
    """The address that a key stands for, if it stands for one; letter case is lost, and origins have none."""
    plain = name.removeprefix("BUNDLE_").replace("___", "-").replace("__", ".").lower()
    return plain if re.fullmatch(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?(?:/.*)?", plain) else ""


def _in_addresses(settings: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    found = {}
    for name, value in settings.items():
        parts = urlsplit(value) if name.startswith("BUNDLE_MIRROR__") and "@" in value else None
        if parts and parts.username:
            host = parts.netloc.rpartition("@")[2].lower()
            found[host] = (unquote(parts.username), unquote(parts.password or ""))
    return found
