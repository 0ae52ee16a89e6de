"""Package indexes: where one is uploaded to and read from, and what it lists (PEP 503 and PEP 691)."""

import hashlib
import html.parser
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

from cdaf import toml
from cdaf.errors import CdafError, PublishError
from cdaf.net import http
from cdaf.registries import credentials
from cdaf.registries.credentials import Credentials

_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_NOT_READABLE = frozenset({401, 403, 404, 405, 410})


class Index(msgspec.Struct, frozen=True):
    """An index: the URL to upload to, and those that may be its simple index, the likeliest first."""

    name: str
    upload: str
    simple: tuple[str, ...]


class File(msgspec.Struct, frozen=True):
    """A file as an index lists it; `sha256` in hex."""

    url: str
    sha256: str


def faults(where: str) -> list[str]:
    """What is wrong with the text behind `pypi:`."""
    if not where:
        return ["it names no index: pypi:URL or pypi:NAME"]
    if "://" not in where:
        known = sorted(_configured())
        listed = f"; uv is configured with {', '.join(known)}" if known else ""
        missing = f"{where!r} is no index with a publish-url in uv's configuration{listed}"
        return [] if where in known else [missing]
    try:
        parts = urlsplit(where)
        port = parts.port
    except ValueError:
        return ["it is not a URL of http or https"]
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        return ["it is not a URL of http or https"]
    return ["a login does not belong on the command line; set UV_PUBLISH_…"] if "@" in parts.netloc else []


def find(where: str) -> Index:
    """The index behind `pypi:`, which `faults` has nothing against."""
    if "://" in where:
        named = os.environ.get("UV_PUBLISH_CHECK_URL")
        return Index("", where, (named,) if named else _simple(where))
    upload, url = _configured()[where]
    return Index(where, upload, (url,))


def listed(index: Index, project: str, name: str, login: Credentials | None) -> File | None:
    """A file as the index lists it; None when it does not. A listing without its hash is downloaded and hashed.

    Raises a transient CdafError when the index cannot be reached.
    """
    headers = {"Authorization": credentials.basic(login)} if login else {}
    for base in index.simple:
        page = f"{base.rstrip('/')}/{project}/"
        with http.get(page, {"Accept": _ACCEPT, **headers}) as response:
            if response.status in _NOT_READABLE:
                continue
            if response.status != 200:
                raise PublishError(f"{http.clean(page)} answers {response.status}", "check the index")
            files = dict(_files(http.read(response), response))
        if name in files:
            url, sha256 = files[name]
            return File(url, sha256 or _hashed(url, headers if http.same_origin(url, page) else {}))
    return None


def _simple(upload: str) -> tuple[str, ...]:
    """Where servers have their simple index beside their upload URL: Warehouse first, then devpi, GitLab and others."""
    parts = urlsplit(upload)
    base = upload.rstrip("/")
    if base.endswith("/legacy"):
        host = parts.netloc.removeprefix("upload.")
        return (f"{parts.scheme}://{host}/simple/",)
    return f"{base}/simple/", f"{base}/+simple/", f"{base}/"


def _files(data: bytes, response: http.Response) -> Iterator[tuple[str, tuple[str, str]]]:
    if response.headers.get("Content-Type", "").startswith(_JSON):
        try:
            for each in json.loads(data)["files"]:
                url = urljoin(response.url, str(each["url"]))
                yield str(each["filename"]), (url, str((each.get("hashes") or {}).get("sha256", "")))
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise CdafError(f"{http.clean(response.url)} is not a page of a simple index") from error
        return
    links = _Links()
    links.feed(data.decode(errors="replace"))
    for link in links.found:
        url, _, fragment = urljoin(response.url, link).partition("#")
        name = unquote(urlsplit(url).path.rpartition("/")[2])
        yield name, (url, fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else "")


class _Links(html.parser.HTMLParser):
    """Every link of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for key, value in attrs if tag == "a" and key == "href" and value]


def _hashed(url: str, headers: dict[str, str]) -> str:
    digest = hashlib.sha256()
    with http.get(url, headers) as response:
        if response.status != 200:
            raise PublishError(f"{http.clean(url)} answers {response.status}", "check the index")
        for chunk in http.stream(response):
            digest.update(chunk)
    return digest.hexdigest()


def _configured() -> dict[str, tuple[str, str]]:
    """Indexes with a `publish-url` in uv's own configuration, the nearest file first: upload URL and URL, by name."""
    found: dict[str, tuple[str, str]] = {}
    for path, keys in _files_of_uv():
        for entry in _indexes(path, keys):
            name, url, upload = (entry.get(key) for key in ("name", "url", "publish-url"))
            if isinstance(name, str) and isinstance(url, str) and isinstance(upload, str):
                found.setdefault(name, (upload, url))
    return found


def _files_of_uv() -> Iterator[tuple[Path, tuple[str, ...]]]:
    for folder in (Path.cwd(), *Path.cwd().parents):
        yield folder / "uv.toml", ()
        yield folder / "pyproject.toml", ("tool", "uv")
    config = os.environ.get("XDG_CONFIG_HOME")
    yield (Path(config) if config else Path("~/.config").expanduser()) / "uv" / "uv.toml", ()
    yield Path("/etc/uv/uv.toml"), ()


def _indexes(path: Path, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    try:
        table: Any = toml.decode(path.read_bytes())
    except (OSError, ValueError):
        return []
    for key in (*keys, "index"):
        table = table.get(key, {}) if isinstance(table, dict) else {}
    return [entry for entry in table if isinstance(entry, dict)] if isinstance(table, list) else []
