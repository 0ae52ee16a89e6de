"""Gems that are no archive of an index: folders of the repository and commits of git repositories, as tars."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from cdaf import store
from cdaf.bases import elf
from cdaf.bases.elf import Elf
from cdaf.errors import ProjectError, ResolveError
from cdaf.images import tarform
from cdaf.images.tarform import Header
from cdaf.languages._ruby import package, resolve
from cdaf.languages._ruby.resolve import Read
from cdaf.languages._ruby.values import Choice, Target
from cdaf.languages._shared import frame, gitsource, memo, scratch, tree
from cdaf.languages._shared.tree import Leaf
from cdaf.projects.project import Project

KIND = "gems"
GLOB = "{,*,*/*}.gemspec"
_OWN = re.compile(r"(?:[^/]+\.gemspec|(?:lib|exe|app|config)/.*)")
# Folders of a base, which no path gem may take.
_SYSTEM = ("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "media", "mnt", "opt", "proc", "root", "run")
_SYSTEM_TOO = ("sbin", "srv", "sys", "tmp", "usr", "var")
_SHORT = 12  # digits of a commit in a folder's name, as Bundler has it


class Tree(msgspec.Struct, frozen=True):
    """A source as a tar in the store, and what must be known of it: its files, gemspecs and native files."""

    sha256: str
    files: tuple[str, ...]
    specs: dict[str, str]
    native: dict[str, Elf] = {}

    @property
    def path(self) -> Path:
        """Where the tar lies."""
        return store.path(KIND, self.sha256)


def of(project: Project, read: Read, choice: Choice) -> Tree:
    """The source of a git or path gem. Raises ProjectError, ResolveError."""
    found = _git(choice) if choice.kind == "git" else _kept(_leaves(project, read, choice), choice.glob)
    _demand_plain(choice, found)
    return found


def place(choice: Choice, target: Target) -> str:
    """Where it stands in the image, as Bundler looks for it."""
    if choice.kind == "git":
        return f"{target.home}/bundler/gems/{stem(choice)}"
    path = posixpath.normpath(posixpath.join(frame.FOLDER, choice.remote))
    if not path.startswith(f"{frame.FOLDER}/") and path != frame.FOLDER:
        top = path.split("/")[1]
        if choice.remote.startswith("/") or top in ("", *_SYSTEM, *_SYSTEM_TOO):
            raise ProjectError(
                f"Gemfile.lock: the gem {choice.spec.name} lies at {choice.remote}, which would be {path} in the image",
                "move it below the Gemfile's folder",
            )
    return path


def stem(choice: Choice) -> str:
    """The name of its archive, and of its folder for a git gem: Bundler's name of a repository's commit."""
    if choice.kind == "path":
        return choice.spec.full
    path = urlsplit(choice.remote).path or choice.remote
    name = posixpath.basename(path.rstrip("/").rpartition(":")[2]).removesuffix(".git")
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', name) or choice.spec.name}-{choice.revision[:_SHORT]}"


def origin(choice: Choice) -> str:
    """What the manifest says of where it came from."""
    return f"git+{_bare(choice.remote)}@{choice.revision}" if choice.kind == "git" else choice.remote


def _bare(remote: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]+@", "", remote)


def _git(choice: Choice) -> Tree:
    name = memo.key("git gems", choice.remote, choice.revision, choice.glob)
    known = memo.load(name, Tree)
    if known is None or not store.checked(KIND, known.sha256):
        with scratch.folder() as folder:
            gitsource.lay(choice.spec.name, choice.remote, choice.revision, folder / "source")
            known = _kept(tree.laid(folder / "source"), choice.glob)
        memo.save(name, known)
    return known


def _leaves(project: Project, read: Read, choice: Choice) -> Sequence[Leaf]:
    folder = resolve.folder(read, choice.remote)
    if not folder.is_relative_to(project.repository) or not folder.is_dir():
        raise ProjectError(
            f"{read.path.name}: the gem {choice.spec.name} lies at {choice.remote}, outside of the repository",
            "move it into the repository, or name its git repository",
        )
    leaves = tree.tracked(folder)
    # Of the Gemfile's own folder only what makes a gem: the rest is the service's, by its allow-list.
    return [each for each in leaves if _OWN.fullmatch(each.name)] if folder == read.path.parent else leaves


def _kept(leaves: Sequence[Leaf], glob: str) -> Tree:
    leaves = tree.read(leaves)
    name = memo.key("gem source", tree.digest(leaves), glob)
    known = memo.load(name, Tree)
    if known is None or not store.checked(KIND, known.sha256):
        known = _stored(sorted(leaves, key=lambda each: each.name), glob)
        memo.save(name, known)
    return known


def _stored(leaves: Sequence[Leaf], glob: str) -> Tree:
    native: dict[str, Elf] = {}
    specs: dict[str, str] = {}

    def chunks() -> Iterable[bytes]:
        for each in leaves:
            if each.link:
                yield tarform.encode(Header(each.name, "link", 0o777, target=each.link))
                continue
            data = tree.data(each)
            if found := elf.of_bytes(data, package.entrance(each.name)):
                native[each.name] = found
            if _is_gemspec(each.name, glob):
                specs[each.name] = data.decode(errors="replace")
            yield tarform.encode(Header(each.name, "file", 0o755 if each.executable else 0o644, len(data)))
            yield data + tarform.padding(len(data))
        yield tarform.END

    sha256, _ = store.put(KIND, chunks())
    return Tree(sha256, tuple(each.name for each in leaves), specs, native)


def _is_gemspec(name: str, glob: str) -> bool:
    if glob in ("", GLOB):
        return name.endswith(".gemspec") and name.count("/") <= 2
    return fnmatch(name, glob)


def _demand_plain(choice: Choice, found: Tree) -> None:
    """What would have to be built is refused: only gems of an index are."""
    if not found.specs:
        raise ResolveError(f"{choice.spec.name}: no gemspec in {_bare(choice.remote)}", "lock a source that has one")
    building = [name for name, text in found.specs.items() if re.search(r"\.extensions\s*(?:=|<<|\+=)", text)]
    if building:
        raise ResolveError(
            f"{choice.spec.name}: {', '.join(building)} of {_bare(choice.remote)} has extensions to build, "
            "and only gems of an index are built",
            "serve it from an index, as a gem",
        )


def commands(found: Tree) -> tuple[str, ...]:
    """The programs in `exe`, which gemspecs declare as commands by custom."""
    return tuple(name.removeprefix("exe/") for name in found.files if re.fullmatch(r"exe/[^/.]+", name))


def asks_git(found: Tree) -> list[str]:
    """The gemspecs that ask git which files there are: neither git nor a repository is in an image."""
    return sorted(name for name, text in found.specs.items() if re.search(r"`git |%x.?git |IO\.popen\(.*git", text))
