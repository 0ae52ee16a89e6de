"""The project's `uv.lock`: where it is, what it says of local manifests, and its exports as PEP 751."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from cdaf import languages, process, typed
from cdaf.errors import ProjectError, ResolveError

NAME = "uv.lock"
_LOCAL = re.compile(r"""^source = \{ (?:editable|directory|virtual) = "((?:[^"\\]|\\.)*)" """, re.MULTILINE)
_USERINFO = re.compile(r"(?<=://)([^/@\s\"'<>]+)@")
_KEPT = ("HOME", "PATH", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


class Lockfile(msgspec.Struct, frozen=True):
    """A uv.lock, unparsed: its text, and the bytes of every local manifest it depends on by path."""

    path: Path
    data: bytes
    manifests: dict[Path, bytes]

    @property
    def folder(self) -> Path:
        """The workspace's root, to which the lock's paths are relative."""
        return self.path.parent


def find(root: Path, top: Path) -> Path:
    """The nearest uv.lock at or above `root`, not above `top`. Raises ProjectError when there is none."""
    for folder in (root, *root.parents):
        if (folder / NAME).is_file():
            return folder / NAME
        if folder == top:
            break
    raise ProjectError(f"no {NAME} in {root} or above it, up to {top}", "run `uv lock` and commit uv.lock")


def read(root: Path, top: Path) -> Lockfile:
    """The lock of the service in `root` with the manifests it was made from."""
    path = find(root, top)
    data = path.read_bytes()
    text = data.decode(errors="replace")
    folder = path.parent
    folders = {folder, root, *(_below(folder, _unquoted(found)) for found in _LOCAL.findall(text))}
    folders |= set(members(folder))
    manifests = {file: _bytes(file) for found in sorted(folders) if (file := found / "pyproject.toml").is_file()}
    return Lockfile(path, data, manifests)


def members(folder: Path) -> list[Path]:
    """The workspace's members by the globs of its root manifest (tool.uv.workspace)."""
    table = manifest(folder / "pyproject.toml").get("tool", {}).get("uv", {}).get("workspace", {})
    excluded = {found for pattern in table.get("exclude", ()) for found in folder.glob(pattern)}
    found = {
        path
        for pattern in table.get("members", ())
        for path in folder.glob(pattern)
        if (path / "pyproject.toml").is_file() and path not in excluded
    }
    return sorted(found)


class _Project(msgspec.Struct, frozen=True, rename="kebab"):
    name: str = ""
    version: str = ""
    requires_python: str = ""
    dependencies: list[str] = []
    optional_dependencies: dict[str, list[str]] = {}
    dynamic: list[str] = []


class _Workspace(msgspec.Struct, frozen=True):
    members: list[str] = []
    exclude: list[str] = []


class _Uv(msgspec.Struct, frozen=True):
    workspace: _Workspace = _Workspace()
    sources: dict[str, dict[str, Any] | list[dict[str, Any]]] = {}


class _Tool(msgspec.Struct, frozen=True):
    uv: _Uv = _Uv()


class _Build(msgspec.Struct, frozen=True, rename="kebab"):
    requires: list[str] = []
    build_backend: str = ""
    backend_path: list[str] = []


class _Manifest(msgspec.Struct, frozen=True, rename="kebab"):
    """The forms of what is read here of a pyproject.toml (the pyproject.toml specification); all else is free."""

    project: _Project = _Project()
    build_system: _Build = _Build()
    dependency_groups: dict[str, list[str | dict[str, str]]] = {}
    tool: _Tool = _Tool()


def manifest(path: Path) -> dict[str, Any]:
    """A pyproject.toml as data, empty when there is none. Raises ProjectError when it is not one."""
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
        typed.convert(read, _Manifest)
        return read
    except FileNotFoundError:
        return {}
    # msgspec's ValidationError is a ValueError, as are those of TOML and of UTF-8.
    except (OSError, ValueError, RecursionError) as error:
        raise ProjectError(f"{path}: {error}", "mend the file") from error


def lacking(root: Path, *, alone: bool) -> languages.Lacking | None:
    """What keeps `uv lock` from locking a service; None where it would, or where `root` is another language's.

    `alone` is whether there is no manifest of another language: many have files of Python's beside theirs.
    """
    has_manifest = (root / "pyproject.toml").is_file()
    told = manifest(root / "pyproject.toml")
    tools = told.get("tool", {})
    if "project" in told or "workspace" in tools.get("uv", {}) or not (alone or "poetry" in tools):
        return None
    if has_manifest:
        turning = " (`uvx migrate-to-uv` makes it of [tool.poetry])" if "poetry" in tools else ""
        way = f"write that table, with name, version and dependencies{turning}, run `uv lock`, and commit uv.lock"
        return languages.Lacking("pyproject.toml has no [project] table, and uv locks nothing else", way)
    if (root / "requirements.txt").is_file():
        return languages.Lacking("", "run `uv init --bare && uv add -r requirements.txt`, and commit what they write")
    return None


def sources(root: Path) -> tuple[str, ...]:
    """Patterns of a package's own files as build backends find them; none where the service is no package."""
    told = manifest(root / "pyproject.toml")
    name = re.sub(r"[-_.]+", "_", str(told.get("project", {}).get("name", ""))).lower()
    return ("src/**", f"{name}/**", f"{name}.py") if name and "build-system" in told else ()


def redacted(data: bytes) -> bytes:
    """The lock without the credentials that its URLs may carry."""
    return _USERINFO.sub(_kept_user, data.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _kept_user(found: re.Match[str]) -> str:
    """An SSH login name is part of the address, no secret; all else before the `@` goes."""
    scheme = found.string[: found.start()].rpartition("://")[0]
    user = found[1].partition(":")[0]
    return f"{user}@" if scheme.endswith("ssh") else ""


def credentials(data: bytes) -> dict[str, tuple[str, str]]:
    """User and password by host and port, from the URLs of the lock."""
    from urllib.parse import unquote

    found = re.findall(rb"https?://([^/@\s\"'<>]+)@([^/\s\"'?#]+)", data)
    split = {host.decode().lower(): user.decode().partition(":") for user, host in found}
    return {host: (unquote(user), unquote(password)) for host, (user, _, password) in split.items()}


def export(
    lock: Lockfile, root: Path, extras: Sequence[str], groups: Sequence[str], *, defaults: bool = False
) -> bytes:
    """The lock's PEP 751 form with these extras and groups, written by uv; it neither resolves nor fetches.

    `defaults` adds the groups that a developer gets without asking (tool.uv.default-groups).
    """
    options = [
        *("--frozen", "--offline", "--no-python-downloads", "--no-cache", "--no-progress", "--quiet", "--color=never"),
        *("--format", "pylock.toml", "--no-header", "--no-annotate"),
        *(() if defaults else ("--no-default-groups",)),
        *(word for extra in extras for word in ("--extra", extra)),
        *(word for group in groups for word in ("--group", group)),
    ]
    done = process.run(["env", "-i", *_environment(), binary(), "export", *options], cwd=root)
    if done.code:
        raise _export_failed(lock, done._replace(stderr=redacted(done.stderr)))
    return done.stdout


def binary() -> str:
    """The uv that came with cdaf. Raises ResolveError when it is not there."""
    import uv

    try:
        return uv.find_uv_bin()
    except FileNotFoundError as error:
        raise ResolveError(f"uv is not installed beside cdaf: {error}", "reinstall cdaf") from error


def _environment() -> list[str]:
    """What uv may know of the user: where its files go, and no setting."""
    import os

    return [f"{name}={os.environ[name]}" for name in _KEPT if name in os.environ]


def _export_failed(lock: Lockfile, done: process.Finished) -> Exception:
    told = done.stderr.decode(errors="replace").strip()
    unknown = re.search(r"(?:[Ee]xtra|[Gg]roup) `([^`]+)` is not defined", told)
    if unknown:
        return ProjectError(f"{unknown[0]} in the project", "declare it in pyproject.toml, and run `uv lock`")
    return process.failed(done, ProjectError, f"uv cannot export {lock.path}", "run `uv lock` and commit uv.lock")


def _below(folder: Path, relative: str) -> Path:
    import os

    return Path(os.path.normpath(folder / relative))


def _unquoted(text: str) -> str:
    return str(tomllib.loads(f'x = "{text}"')["x"])


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProjectError(f"{path} cannot be read: {error.strerror}", "make it readable") from error
