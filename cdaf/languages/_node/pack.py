"""Archives of packages that no registry holds: folders of the repository, and commits of git repositories.

Of a commit the files are those that `npm pack` would choose (npm-packlist), by the package.json and ignore file of its
top folder; a folder enters whole, as npm only links to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cdaf import store
from cdaf.errors import ResolveError
from cdaf.images import layer
from cdaf.images.coder import Stream
from cdaf.images.plan import Layer, Link, Place
from cdaf.languages._node import lockfile
from cdaf.languages._node.values import MODULES, Choice
from cdaf.languages._shared import gitsource, memo, scratch, tree
from cdaf.languages._shared.tree import Leaf
from cdaf.net.fetch import KIND

_TOP = "package"
_NEVER = (".git/", f"{MODULES}/", ".npmrc", "/package-lock.json", "/yarn.lock", "/pnpm-lock.yaml", "/bun.lockb")
_USUAL = (
    *(".npmignore", ".gitignore", ".git", ".svn", ".hg", "CVS", "/.lock-wscript", "/.wafpickle-*", "npm-debug.log"),
    *("/build/config.gypi", ".*.swp", ".DS_Store", "._*", "*.orig", "/archived-packages/"),
)
_ALWAYS = re.compile(r"package\.json|(?:readme|copying|licen[sc]e)(?:\..*[^~$])?", re.IGNORECASE)


class Made(msgspec.Struct, frozen=True):
    """An archive in the store, made by us."""

    sha256: str

    @property
    def path(self) -> Path:
        """Where it lies."""
        return store.path(KIND, self.sha256)


def folder(root: Path, choice: Choice) -> Made:
    """The archive of a folder's tracked files; `root` is the lock's folder."""
    leaves = tree.read(each for each in tree.tracked(root / choice.folder) if MODULES not in each.name.split("/"))
    name = memo.key("npm folder", tree.digest(leaves))
    known = memo.load(name, Made)
    if known is None or not store.checked(KIND, known.sha256):
        known = _made(leaves)
        memo.save(name, known)
    return known


def git(choice: Choice) -> Made:
    """The archive of a commit.

    Raises ResolveError when it cannot be had, or is no package before its `prepare` script has run.
    """
    name = memo.key("npm git", choice.url, choice.commit, choice.name)
    known = memo.load(name, Made)
    if known is None or not store.checked(KIND, known.sha256):
        with scratch.folder() as temporary:
            _lay(choice, temporary)
            told = lockfile.table(temporary / "package.json")
            if isinstance(scripts := told.get("scripts"), dict) and scripts.get("prepare"):
                raise ResolveError(
                    f"{choice.label}, a git dependency, is made by its `prepare` script ({scripts['prepare']}), "
                    "which would need the network",
                    "depend on a published version of it, or keep its tarball (`npm pack`) in the repository",
                )
            known = _made(_chosen(temporary, told))
        memo.save(name, known)
    return known


def _lay(choice: Choice, into: Path) -> None:
    """Lay the commit out; over https first where the lock has ssh, which machines seldom have a key for."""
    urls = list(_urls(choice.url))
    for url in urls[:-1]:
        try:
            return gitsource.lay(choice.label, url, choice.commit, into)
        except ResolveError:
            continue
    return gitsource.lay(choice.label, urls[-1], choice.commit, into)


def _urls(locked: str) -> Iterator[str]:
    url = locked.removeprefix("git+")
    if url.startswith("git@"):
        host, _, path = url.removeprefix("git@").partition(":")
        url = f"ssh://git@{host}/{path}"
    parts = urlsplit(url)
    if parts.scheme == "ssh" and parts.username == "git" and parts.port is None:
        yield f"https://{parts.hostname}{parts.path}"
    yield url


def _made(leaves: Iterable[Leaf]) -> Made:
    """One canonical tarball: order, times and modes are those of layers."""
    entries: list[Place | Link] = []
    held = {}
    for leaf in leaves:
        path = f"{_TOP}/{leaf.name}"
        if leaf.link:
            entries.append(Link(path, leaf.link))
        else:
            held[path] = tree.content(leaf)
            entries.append(Place(path, path, 0o755 if leaf.executable else 0o644))
    with store.writing(KIND) as (file, temporary):
        stream = Stream(file)
        layer.write(Layer(_TOP, tuple(entries)), held, {}, stream)
        digest = stream.finish()[0].removeprefix("sha256:")
        file.flush()
        store.keep(temporary, KIND, digest)
    return Made(digest)


def _chosen(top: Path, told: Mapping[str, Any]) -> Iterator[Leaf]:
    names = sorted(
        path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file() and not path.is_symlink()
    )
    for name in packed(names, told, {each: _text(top / each) for each in (".npmignore", ".gitignore")}):
        path = top / name
        yield Leaf(name, path, bool(path.stat().st_mode & 0o100))


def _text(path: Path) -> str | None:
    return path.read_text(errors="replace") if path.is_file() else None


def packed(names: Sequence[str], told: Mapping[str, Any], ignores: Mapping[str, str | None]) -> list[str]:
    """Those of a package's files that `npm pack` takes; `ignores` are the texts of its ignore files."""
    files = told.get("files")
    wanted = [str(each).removeprefix("./") for each in files] if isinstance(files, list) else None
    if wanted is not None:
        include = _Rules(_anchored(each) for each in wanted)
        ignored = _Rules(())
    else:
        text = ignores.get(".npmignore")
        include = None
        ignored = _Rules((text if text is not None else ignores.get(".gitignore") or "").splitlines())
    named = {str(told.get("main") or ""), str(told.get("browser") or ""), *_programs(told)}
    always = {each.removeprefix("./").lstrip("/") for each in named} - {""}
    never, usual = _Rules(_NEVER), _Rules(_USUAL)

    def takes(name: str) -> bool:
        if never.match(name):
            return False
        if name in always or ("/" not in name and _ALWAYS.fullmatch(name)):
            return True
        return not usual.match(name) and (include.match(name) if include else not ignored.match(name))

    return [name for name in names if takes(name)]


def _anchored(pattern: str) -> str:
    """A pattern of `files` counts from the top; what one leaves out again, as in an ignore file."""
    if pattern.startswith("!"):
        return pattern.replace("!./", "!/", 1)
    return f"/{pattern.lstrip('/')}"


def _programs(told: Mapping[str, Any]) -> set[str]:
    declared = told.get("bin")
    return {str(each) for each in declared.values()} if isinstance(declared, dict) else {str(declared or "")}


class _Rules:
    """Patterns as in .gitignore (gitignore(5)); of several that match the last one decides."""

    def __init__(self, lines: Iterable[str]) -> None:
        told = [line.rstrip() for line in lines if line.strip() and not line.startswith("#")]
        self._rules = [(line.startswith("!"), _expression(line.removeprefix("!"))) for line in told]

    def match(self, name: str) -> bool:
        """Whether a file, or a folder that it is in, is meant."""
        found = False
        for negated, expression in self._rules:
            if expression.fullmatch(name):
                found = not negated
        return found


def _expression(pattern: str) -> re.Pattern[str]:
    anchored = "/" in pattern.rstrip("/")
    body = pattern.strip("/")
    parts = re.split(r"(\*\*/|/\*\*|\*|\?|\[[^]]*\])", body)
    wild = {"**/": "(?:.*/)?", "/**": "/.*", "*": "[^/]*", "?": "[^/]"}
    text = "".join(wild.get(each) or (each if each.startswith("[") else re.escape(each)) for each in parts)
    return re.compile(
        ("" if anchored else "(?:.*/)?") + text + ("/.*" if pattern.endswith("/") else "(?:/.*)?"), re.DOTALL
    )
