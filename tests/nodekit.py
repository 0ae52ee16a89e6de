"""What the tests of the Node language share: small packages, a registry of them, services locked by the real npm."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from cdaf import languages
from cdaf.images import content, layer
from cdaf.images import plan as plans
from cdaf.images.coder import Stream
from cdaf.languages import node
from cdaf.projects import pins, project
from tests import loopback, makers
from tools import npm as tool

BASE = "node:22-slim"
FACTS = pins.Facts(
    interpreter="/usr/local/bin/node",
    interpreter_version="22.23.3",
    libc="glibc",
    libc_version="2.41",
    passwd="root:x:0:0:root:/root:/bin/bash\n",
    group="root:x:0:\n",
)
CONFIG = """\
[service]
start = ["node", "server.js"]
port = 3000
include = ["server.js"]
[image]
platforms = ["linux/amd64", "linux/arm64"]
"""
BOTH = ("linux/amd64", "linux/arm64")
Files = Mapping[str, str | bytes]
NONE: Files = {}
NOWHERE: Mapping[str, str] = {}
SOMEWHERE = "http://registry.example.invalid/"
LOCKS: dict[str, str] = {}  # by what they were made of, with that address in place of their registry's


def tarball(manifest: Mapping[str, Any], files: Files = NONE, **how: Any) -> bytes:
    """A package as registries serve it."""
    return tar({"package.json": json.dumps(manifest), **files}, **how)


def tar(
    files: Files,
    *,
    top: str = "package",
    executable: Sequence[str] = (),
    links: Mapping[str, str] = NOWHERE,
    again: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A tarball of these files below a top folder; `links` are symbolic, `again` are further members at its end."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as out:
        for name, told in [*files.items(), *again]:
            data = told if isinstance(told, bytes) else told.encode()
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mode = len(data), 0o744 if name in executable else 0o640
            out.addfile(member, io.BytesIO(data))
        for name, target in links.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, target
            out.addfile(member)
    return gzip.compress(held.getvalue(), 6, mtime=0)


def integrity(data: bytes, algorithm: str = "sha512") -> str:
    """A Subresource Integrity string."""
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


class Registry:
    """A running npm registry: packages by name and version, and what it was asked, with whose login."""

    def __init__(self) -> None:
        self.packages: dict[str, dict[str, tuple[dict[str, Any], bytes]]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.login = ""
        self.url = ""

    def add(self, manifest: Mapping[str, Any], files: Files = NONE, **how: Any) -> bytes:
        """Publish a package and return its tarball."""
        told = {"version": "1.0.0", **manifest}
        data = tarball(told, files, **how)
        self.packages.setdefault(told["name"], {})[told["version"]] = (told, data)
        return data

    def packument(self, name: str) -> dict[str, Any]:
        """What registries say of a package."""
        versions = self.packages[name]
        listed = {}
        for version, (told, data) in versions.items():
            place = f"{self.url}{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
            scripts = told.get("scripts", {})
            dist = {"tarball": place, "integrity": integrity(data), "shasum": hashlib.sha1(data).hexdigest()}
            installs = bool({"preinstall", "install", "postinstall"} & scripts.keys())
            listed[version] = {**told, "dist": dist, **({"hasInstallScript": True} if installs else {})}
            if folder := told.get("directories", {}).get("bin"):  # npm normalises what it publishes
                with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                    below = [each.name.partition("/")[2] for each in tar]
                top = folder.removeprefix("./") + "/"
                listed[version]["bin"] = {name.removeprefix(top): name for name in below if name.startswith(top)}
        return {"name": name, "dist-tags": {"latest": list(versions)[-1]}, "versions": listed}


class _Handler(loopback.Quiet):
    registry: Registry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        registry = self.registry
        registry.asked.append((self.path, self.headers.get("Authorization")))
        path = unquote(self.path.partition("?")[0]).lstrip("/")
        name, sign, file = path.partition("/-/")
        if registry.login and self.headers.get("Authorization") != registry.login:
            self._answer(401, b"{}")
        elif name not in registry.packages:
            self._answer(404, b"{}")
        elif not sign:
            self._answer(200, json.dumps(registry.packument(name)).encode())
        else:
            version = file.removeprefix(f"{name.rpartition('/')[2]}-").removesuffix(".tgz")
            found = registry.packages[name].get(version)
            self._answer(200 if found else 404, found[1] if found else b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer(404, b"{}")

    do_PUT = do_POST

    def _answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving() -> Iterator[Registry]:
    """A registry on loopback, empty at first."""
    programs()  # from the machine's own registry, before a test names another one
    registry = Registry()
    with loopback.serving(_Handler, registry=registry) as address:
        registry.url = f"{address}/"
        yield registry


@cache
def programs() -> Path:
    """Where node and npm are."""
    return tool.programs()


def npm(*words: str, cwd: Path, registry: str = "", expect: int = 0, env: Mapping[str, str] = NOWHERE) -> str:
    """Run the real npm with a home and a cache of its own; returns what it says."""
    home = cwd / ".npm-home"
    home.mkdir(exist_ok=True)
    told = {key: value for key, value in os.environ.items() if not key.lower().startswith("npm_config_")}
    told |= {"HOME": str(home), "PATH": f"{programs()}:{told['PATH']}", "npm_config_cache": str(home / "cache")}
    told |= {"npm_config_audit": "false", "npm_config_fund": "false", "npm_config_update_notifier": "false"}
    told |= {"npm_config_registry": registry} if registry else {}
    done = subprocess.run(["npm", *words], cwd=cwd, env={**told, **env}, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == expect, said
    return said


def lock(folder: Path, registry: str, env: Mapping[str, str] = NOWHERE) -> dict[str, Any]:
    """`npm install --package-lock-only`; returns the lock."""
    npm("install", "--package-lock-only", "--ignore-scripts", cwd=folder, registry=registry, env=env)
    told: dict[str, Any] = json.loads((folder / "package-lock.json").read_text())
    return told


def _lock_once(folder: Path, registry: Registry) -> None:
    """As `lock`, the answer kept: the same files and packages give the same lock but for the registry's address."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    known = repr(([(name, files[name].read_bytes()) for name in sorted(files)], registry.packages))
    key = hashlib.sha256(known.encode()).hexdigest()
    if key not in LOCKS:
        lock(folder, registry.url)
        LOCKS[key] = (folder / "package-lock.json").read_text().replace(registry.url, SOMEWHERE)
    (folder / "package-lock.json").write_text(LOCKS[key].replace(SOMEWHERE, registry.url))


def service(
    folder: Path,
    registry: Registry | None,
    manifest: Mapping[str, Any],
    files: Files = NONE,
    config: str = CONFIG,
    below: str = "",
) -> project.Project:
    """A committed service, locked by npm where there is a registry; it lies in the folder `below` of the repository."""
    root = folder / below
    own = {f"{below}/{name}".lstrip("/"): text for name, text in (("cdaf.toml", config), ("server.js", "1;\n"))}
    prepare(folder, manifest, {**own, **files})
    if registry:
        _lock_once(folder, registry)
    makers.repository(folder, {})
    return project.read(root)


def prepare(folder: Path, manifest: Mapping[str, Any], files: Files = NONE) -> None:
    """The files of a service, neither locked nor committed."""
    told = {"name": "svc", "version": "1.4.0", **manifest}
    makers.write(folder, {".gitignore": ".npm-home\nnode_modules\n", "package.json": json.dumps(told), **files})


def pinned(facts: pins.Facts = FACTS, reference: str = BASE, platforms: Sequence[str] = BOTH) -> pins.Pins:
    """Pins of one base for some platforms."""
    digest = "sha256:" + hashlib.sha256(reference.encode()).hexdigest()
    bases = (pins.Base(reference=reference, platform=each, digest=digest, facts=facts) for each in platforms)
    return pins.Pins(bases=tuple(bases))


def through(found: project.Project, pins: pins.Pins | None = None) -> tuple[languages.Collection, languages.Planned]:
    """All three acts."""
    lock = node.resolve(found, pins or pinned(platforms=found.settings.image.platforms))
    collection = node.collect(found, lock)
    return collection, node.plan(found, collection)


Tree = dict[str, tuple[str, str]]  # by path: kind (file, program, link) and content's digest or target


def laid(
    found: project.Project, collection: languages.Collection, planned: languages.Planned, platform: str = BOTH[0]
) -> Tree:
    """What the image's own layers really hold, by path from the root on, folders left out."""
    tree: Tree = {}
    for made in _layers(found, collection, planned, platform):
        for member in made:
            if not member.isdir():
                assert f"/{member.name}" not in tree, f"{member.name} is placed twice"
                tree[f"/{member.name}"] = _told(made, member)
    return tree


def _layers(
    found: project.Project, collection: languages.Collection, planned: languages.Planned, platform: str
) -> Iterator[tarfile.TarFile]:
    held = {each.dependency.archive: content.of_file(each.path, each.dependency.sha256) for each in collection.archives}
    held |= {f"app/{file.name}": content.of_file(file.path) for file in found.files}
    held |= {name: content.of_bytes(data) for name, data in planned.generated.items()} | planned.kept
    image = next(each for each in planned.plans.images if each.platform == platform)
    for each in image.layers:
        out = io.BytesIO()
        stream = Stream(out)
        layer.write(each, held, plans.folders(image.layers), stream)
        stream.finish()
        with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as made:
            yield made


def _told(made: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[str, str]:
    if member.issym():
        return "link", member.linkname
    file = made.extractfile(member)
    assert file is not None
    return "program" if member.mode & 0o111 else "file", hashlib.sha256(file.read()).hexdigest()


def installed(folder: Path, registry: str, platform: str = BOTH[0], *more: str, libc: str = "glibc") -> Tree:
    """What `npm ci --omit=dev` makes of the lock for a platform, by path from the folder on."""
    cpu = {"amd64": "x64"}.get(platform.split("/")[1], platform.split("/")[1])
    goal = ("--os=linux", f"--cpu={cpu}", f"--libc={libc}")
    npm("ci", "--omit=dev", "--ignore-scripts", *goal, *more, cwd=folder, registry=registry)
    return tree(folder)


def tree(folder: Path) -> Tree:
    """What lies in the node_modules of a folder and of its workspaces."""
    found: Tree = {}
    for base, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if each not in (".npm-home", ".git")]
        for name in [*files, *(each for each in folders if (Path(base) / each).is_symlink())]:
            path = Path(base) / name
            told = f"/{path.relative_to(folder).as_posix()}"
            if "/node_modules/" not in told or told.endswith("/.package-lock.json"):
                continue
            if path.is_symlink():
                found[told] = ("link", str(path.readlink()))
            else:
                kind = "program" if path.stat().st_mode & stat.S_IXUSR else "file"
                found[told] = (kind, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def spread(found: project.Project, collection: languages.Collection, planned: languages.Planned, into: Path) -> None:
    """Lay the first platform's layers out in a folder."""
    for made in _layers(found, collection, planned, planned.plans.images[0].platform):
        made.extraction_filter = lambda member, _: member
        made.extractall(into)


def run(*words: str | Path, cwd: Path) -> str:
    """Run a program that has to succeed."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
