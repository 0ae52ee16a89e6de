"""What the tests of the Python language share: small wheels and sdists, an index of them, services locked by uv."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uv

from cdaf.images.plan import Dir, Layer, Link, Place, Unpack
from cdaf.projects import pins, project
from tests import loopback

BASE = "python:3.13-slim"
FACTS = pins.Facts(
    interpreter="/usr/bin/python3.13",
    interpreter_version="3.13.5",
    libc="glibc",
    libc_version="2.41",
    passwd="root:x:0:0:root:/root:/bin/bash\n",
    group="root:x:0:\n",
)
BACKEND = '''\
"""A build backend (PEP 517) of a few lines: it needs nothing, so that a build needs no index."""
import base64, hashlib, os, pathlib, tomllib, zipfile

def get_requires_for_build_wheel(config_settings=None):
    return []

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
    name = project["name"].replace("-", "_")
    version = project.get("version") or os.environ["SETUPTOOLS_SCM_PRETEND_VERSION"]
    tag = project.get("description") or "py3-none-any"
    info = f"{name}-{version}.dist-info"
    paths = [p for p in sorted(pathlib.Path("src").rglob("*")) if p.is_file()]
    files = {p.as_posix().removeprefix("src/"): p.read_bytes() for p in paths}
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\\nGenerator: tiny\\nRoot-Is-Purelib: true\\nTag: {tag}\\n".encode()
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\\nName: {project['name']}\\nVersion: {version}\\n".encode()
    scripts = "".join(f"{k} = {v}\\n" for k, v in project.get("scripts", {}).items())
    if scripts:
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\\n{scripts}".encode()
    hashed = {n: base64.urlsafe_b64encode(hashlib.sha256(d).digest()).rstrip(b"=").decode() for n, d in files.items()}
    rows = [f"{n},sha256={hashed[n]},{len(d)}" for n, d in files.items()]
    files[f"{info}/RECORD"] = ("\\n".join([*rows, f"{info}/RECORD,,"]) + "\\n").encode()
    filename = f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / filename, "w", zipfile.ZIP_DEFLATED) as out:
        for n, d in files.items():
            out.writestr(n, d)  # with the present time: what comes after has to see to that
    return filename

build_editable = build_wheel
'''


def wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    files: Mapping[str, str | bytes] | None = None,
    *,
    tag: str = "py3-none-any",
    entry_points: str = "",
    requires: tuple[str, ...] = (),
    modes: Mapping[str, int] | None = None,
) -> Path:
    """Write a wheel; names below `@/` go to its `.data` folder, names below `%/` to its `.dist-info`."""
    stem = f"{name.replace('-', '_')}-{version}"
    info, data = f"{stem}.dist-info", f"{stem}.data"
    content = {f"{name.replace('-', '_')}/__init__.py": f"version = {version!r}\n"} if files is None else dict(files)
    content = {key.replace("@/", f"{data}/", 1).replace("%/", f"{info}/", 1): value for key, value in content.items()}
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {each}\n" for each in requires)
    content.setdefault(f"{info}/METADATA", metadata)
    content.setdefault(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n")
    if entry_points:
        content[f"{info}/entry_points.txt"] = entry_points
    content.setdefault(f"{info}/RECORD", "".join(f"{key},,\n" for key in (*content, f"{info}/RECORD")))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for key, value in content.items():
            member = zipfile.ZipInfo(key, (2020, 2, 2, 2, 2, 2))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = (0o100000 | (modes or {}).get(key, 0o644)) << 16
            out.writestr(member, value)
    return path


def sdist(folder: Path, name: str, version: str = "1.0", files: Mapping[str, str] | None = None) -> Path:
    """Write an sdist that is built by a backend of its own."""
    stem = f"{name.replace('-', '_')}-{version}"
    content = {
        **package(name, version),
        **(files or {}),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.tar.gz"
    with tarfile.open(path, "w:gz") as out:
        for key, value in content.items():
            member = tarfile.TarInfo(f"{stem}/{key}")
            member.size = len(value.encode())
            out.addfile(member, io.BytesIO(value.encode()))
    return path


def package(name: str, version: str = "1.0", more: str = "", tag: str = "") -> dict[str, str]:
    """The files of a project that the tiny backend builds; `more` goes into [project]."""
    described = f'description = "{tag}"\n' if tag else ""
    return {
        "pyproject.toml": f'[project]\nname = "{name}"\nversion = "{version}"\n'
        f'requires-python = ">=3.11"\n{described}{more}\n'
        '[build-system]\nrequires = []\nbuild-backend = "tiny"\nbackend-path = ["backend"]\n',
        "backend/tiny.py": BACKEND,
        f"src/{name.replace('-', '_')}/__init__.py": f"name = {name!r}\n",
    }


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write text files below a folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


class Handler(loopback.Quiet):
    """A simple index (PEP 503) over a folder, with ranges, a login if one is set, and faults on demand."""

    index: Index
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        index = self.index
        index.asked.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        if index.login and self.headers.get("Authorization") != index.login:
            self._answer(401, b"", {"WWW-Authenticate": 'Basic realm="test"'})
        elif self.path.startswith("/simple/"):
            self._answer(200, index.page(self.path.split("/")[2]), {"Content-Type": "text/html"})
        else:
            self._file(index)

    do_HEAD = do_GET

    def _file(self, index: Index) -> None:
        path = index.folder / self.path.removeprefix("/files/")
        if not path.is_file():
            self._answer(404, b"")
            return
        data = index.replaced.get(path.name, path.read_bytes())
        headers: dict[str, str] = {}
        asked = self.headers.get("Range")
        if asked and index.ranges:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = (int(first), int(last or len(data) - 1)) if first else (len(data) - int(last), len(data) - 1)
            if start >= len(data):
                self._answer(416, b"")
                return
            headers = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
            data = data[start : end + 1]
        cut = index.cuts.pop(path.name, None)
        self._answer(206 if headers else 200, data, headers | {"Accept-Ranges": "bytes"}, cut)

    def _answer(self, status: int, data: bytes, headers: Mapping[str, str] = {}, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[:cut])
        if self.path.rpartition("/")[2] in self.index.stalls:
            self.wfile.flush()
            self.index.over.wait(60)
        if cut is not None:
            self.close_connection = True


class Index:
    """A running index and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.cuts: dict[str, int] = {}  # by file: break off after so many bytes, once
        self.replaced: dict[str, bytes] = {}
        self.stalls: set[str] = set()  # say no more after the cut, and keep the connection
        self.over = threading.Event()
        self.ranges = True
        self.login = ""
        self.url = ""

    def page(self, name: str) -> bytes:
        """The page of one project."""
        files = [
            path for path in sorted(self.folder.iterdir()) if path.name.split("-")[0].replace("_", "-").lower() == name
        ]
        links = (
            f'<a href="/files/{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}">{path.name}</a>'
            for path in files
        )
        return ("<!DOCTYPE html><html><body>" + "".join(links) + "</body></html>").encode()


@contextmanager
def serving(folder: Path) -> Iterator[Index]:
    """An index of the wheels and sdists in a folder, on loopback."""
    folder.mkdir(parents=True, exist_ok=True)
    index = Index(folder)
    with loopback.serving(Handler, index=index) as index.url:
        try:
            yield index
        finally:
            index.over.set()


def run(*words: str | Path, cwd: Path, **env: str) -> str:
    """Run a program that has to succeed."""
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def lock(folder: Path, index: Index | None = None) -> None:
    """`uv lock`, of this index alone, by this very Python."""
    where = ["--default-index", f"{index.url}/simple"] if index else ["--no-index"]
    run(
        uv.find_uv_bin(),
        "lock",
        "--quiet",
        "--python",
        sys.executable,
        "--no-cache",
        *where,
        cwd=folder,
        UV_PYTHON_DOWNLOADS="never",
    )


def commit(folder: Path) -> None:
    """A git repository of everything in a folder, committed at a fixed time."""
    when = {"GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z"}
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    if not (folder / ".git").exists():
        run("git", *who, "init", "-q", cwd=folder)
    run("git", "add", "-A", cwd=folder)
    run("git", *who, "commit", "-q", "--allow-empty", "-m", "c", cwd=folder, **when)


CONFIG = '[service]\nstart = ["svc"]\nport = 8000\n[image]\nplatforms = ["linux/amd64", "linux/arm64"]\n'


def service(
    folder: Path, index: Index | None, more: str = "", config: str = CONFIG, files: Mapping[str, str] | None = None
) -> project.Project:
    """A committed, locked service named svc; `more` goes into its [project]."""
    write(folder, {**package("svc", "1.4.0", more), "cdaf.toml": config, **(files or {})})
    lock(folder, index)
    commit(folder)
    return project.read(folder)


def pinned(
    facts: pins.Facts = FACTS, reference: str = BASE, platforms: tuple[str, ...] = ("linux/amd64", "linux/arm64")
) -> pins.Pins:
    """Pins of one base for some platforms."""
    digest = "sha256:" + hashlib.sha256(reference.encode()).hexdigest()
    bases = (pins.Base(reference=reference, platform=each, digest=digest, facts=facts) for each in platforms)
    return pins.Pins(bases=tuple(bases))


def host_facts() -> pins.Facts:
    """This machine as a base."""
    return pins.Facts(
        interpreter=str(Path(sys._base_executable).resolve()),  # type: ignore[attr-defined]
        interpreter_version=platform.python_version(),
        libc="glibc",
        libc_version=platform.libc_ver()[1],
    )


def apply(layers: tuple[Layer, ...], members: Mapping[str, Path | bytes], into: Path) -> None:
    """Follow a plan, on a folder, as plainly as can be."""
    for layer in layers:
        for entry in layer.entries:
            if isinstance(entry, Unpack):
                member = members[entry.archive]
                assert isinstance(member, Path)
                _unpack(entry, member, into)
            elif isinstance(entry, Place):
                data = members[entry.member]
                _put(into, entry.path, data if isinstance(data, bytes) else data.read_bytes(), entry.mode)
            elif isinstance(entry, Link):
                path = into / entry.path.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(entry.target)
            elif isinstance(entry, Dir):
                (into / entry.path.lstrip("/")).mkdir(parents=True, exist_ok=True)


def _unpack(entry: Unpack, archive: Path, into: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if member.is_dir() or member.filename in entry.skip:
                continue
            mode: int | None = 0o755 if (member.external_attr >> 16) & 0o111 else 0o644
            target = f"{entry.prefix}/{member.filename}"
            for rewrite in entry.rewrites:
                if member.filename.startswith(rewrite.source + "/"):
                    target = rewrite.target + member.filename.removeprefix(rewrite.source)
                    mode = rewrite.mode or mode
                    break
            _put(into, target, opened.read(member), mode or 0o644)


def _put(into: Path, path: str, data: bytes, mode: int) -> None:
    target = into / path.lstrip("/")
    assert not target.exists(), f"{path} is placed twice"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    target.chmod(mode)
