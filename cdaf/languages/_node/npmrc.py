"""npm's own configuration, as far as it says where packages come from and who we are (npm's docs, npmrc, config)."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from cdaf.errors import ProjectError
from cdaf.net import fetch

# What npm itself asks where nothing is configured. In a lock it stands for "the configured registry" (npm's docs,
# replace-registry-host), as docker.io does in references to images.
PUBLIC = "https://registry.npmjs.org/"
_VARIABLE = re.compile(r"(\\*)\$\{([^${}?]+)(\?)?\}")


class Config(msgspec.Struct, frozen=True):
    """The settings of all levels as one, by npm's names; its text shows no secret."""

    settings: dict[str, str]

    def __repr__(self) -> str:
        return "Config(…)"


def read(root: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """The project's .npmrc in `root`, over the user's, over the global one; the environment goes before them all.

    Raises ProjectError for one that cannot be read.
    """
    told = {key.lower(): value for key, value in environ.items() if key.lower().startswith("npm_config_")}
    home = environ.get("HOME", "")
    files = [
        told.get("npm_config_globalconfig") or (f"{prefix}/etc/npmrc" if (prefix := environ.get("PREFIX")) else ""),
        told.get("npm_config_userconfig") or (f"{home}/.npmrc" if home else ""),
        str(root / ".npmrc"),
    ]
    settings: dict[str, str] = {}
    for file in filter(None, files):
        settings |= _parsed(Path(file), environ)
    for name, value in environ.items():
        if name.lower().startswith("npm_config_") and value:
            key = name[len("npm_config_") :]
            settings[key if key.startswith("//") else key.lower().replace("_", "-")] = value
    return Config(settings)


def _parsed(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path} cannot be read: {error}", "mend it, or its mode") from error
    return {_expanded(key, environ): _expanded(value, environ) for key, value in _pairs(text)}


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in map(str.strip, text.splitlines()):
        key, sign, value = line.partition("=")
        if sign and not line.startswith((";", "#", "[")):
            value = (
                re.split(r"(?<!\\)[;#]", value.strip(), maxsplit=1)[0].strip()
                if value.strip()[:1] not in "'\""
                else value
            )
            yield key.strip().removesuffix("[]").strip(), value.strip().strip("\"'")


def _expanded(text: str, environ: Mapping[str, str]) -> str:
    """`${NAME}` by the environment; where there is no such variable the text stays, and with `?` nothing does."""

    def value(found: re.Match[str]) -> str:
        if len(found[1]) % 2:
            return found[0]
        return environ.get(found[2], "" if found[3] else found[0])

    return _VARIABLE.sub(value, text)


def registry(config: Config, name: str) -> str:
    """Where a package of this name comes from, with a slash at its end."""
    scope = name.partition("/")[0] if name.startswith("@") else ""
    told = (scope and config.settings.get(f"{scope}:registry")) or config.settings.get("registry") or PUBLIC
    return told.rstrip("/") + "/"


def url(config: Config, name: str, version: str, resolved: str) -> str:
    """Where an archive comes from: as the lock says it, or by the rules of `replace-registry-host`.

    Without `resolved` (npm's `omit-lockfile-registry-resolved`) it is where registries have it by convention.
    """
    own = registry(config, name)
    if not resolved:
        return f"{own}{quote(name, safe='@/')}/-/{name.rpartition('/')[2]}-{quote(version)}.tgz"
    wanted = config.settings.get("replace-registry-host", "npmjs")
    parts, mine = urlsplit(resolved), urlsplit(config.settings.get("registry") or PUBLIC)
    host = urlsplit(PUBLIC).hostname if wanted == "npmjs" else urlsplit(wanted).hostname or wanted
    if wanted == "never" or (wanted != "always" and parts.hostname != host) or parts.scheme not in ("http", "https"):
        return resolved
    base = mine.path.rstrip("/")
    path = parts.path if not base or parts.path.startswith(f"{base}/") else base + parts.path
    return urlunsplit((mine.scheme, mine.netloc.rpartition("@")[2], path, parts.query, ""))


def headers(config: Config) -> fetch.Headers:
    """A function from a URL to the headers that log in there, and nowhere else."""

    @lru_cache(maxsize=256)
    def login(place: str) -> Mapping[str, str]:
        settings = config.settings
        while len(place) > len("//"):
            if token := settings.get(f"{place}:_authToken"):
                return {"Authorization": f"Bearer {token}"}
            if pair := settings.get(f"{place}:_auth"):
                return {"Authorization": f"Basic {pair}"}
            if (user := settings.get(f"{place}:username")) and (secret := settings.get(f"{place}:_password")):
                return {"Authorization": f"Basic {_basic(user, secret)}"}
            place = re.sub(r"(?:[^/]+|/)$", "", place)
        return {}

    def of(asked: str) -> Mapping[str, str]:
        parts = urlsplit(asked)
        if parts.scheme not in ("http", "https"):
            return {}
        found = login(f"//{parts.netloc.rpartition('@')[2]}{parts.path}")
        return found or _carried(asked)

    return of


def _basic(user: str, secret: str) -> str:
    plain = base64.b64decode(secret + "=" * (-len(secret) % 4)).decode(errors="replace")
    return base64.b64encode(f"{user}:{plain}".encode()).decode()


def _carried(asked: str) -> Mapping[str, str]:
    """The login that a URL of the lock itself carries, else that of netrc."""
    from cdaf.registries import credentials

    found = credentials.for_index(asked)
    return {"Authorization": credentials.basic(found)} if found else {}
