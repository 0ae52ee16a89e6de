"""Who we are to the indexes that a lock names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from cdaf.languages._python import lockfile
from cdaf.net import fetch, http
from cdaf.projects.project import Project


def headers(project: Project) -> fetch.Headers:
    """A function from a URL to the headers that log in there.

    Credentials of an index serve its whole origin, as with uv; then those that a URL of the lock carries, netrc and
    the keyring.
    """
    path = lockfile.find(project.root, project.repository)

    @lru_cache(maxsize=1)
    def known() -> tuple[list[tuple[str, str]], Mapping[str, tuple[str, str]]]:
        tables = [lockfile.manifest(folder / "pyproject.toml") for folder in dict.fromkeys((path.parent, project.root))]
        listed = [index for table in tables for index in table.get("tool", {}).get("uv", {}).get("index", [])]
        indexes = [(str(each.get("url", "")), str(each.get("name", ""))) for each in listed]
        return indexes, lockfile.credentials(path.read_bytes())

    @lru_cache(maxsize=64)
    def login(origin: str) -> Mapping[str, str]:
        from cdaf.registries import credentials

        indexes, carried = known()
        named = next(((url, name) for url, name in indexes if http.same_origin(url, origin)), (origin, ""))
        found = credentials.for_index(*named)
        host = urlsplit(origin).netloc
        if found is None and host in carried:
            found = credentials.Credentials(*carried[host])
        return {"Authorization": credentials.basic(found)} if found else {}

    def of(url: str) -> Mapping[str, str]:
        parts = urlsplit(url)
        return login(f"{parts.scheme}://{parts.netloc.lower()}") if parts.scheme in ("http", "https") else {}

    return of
