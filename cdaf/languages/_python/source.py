"""Where the source of something to build comes from: an sdist in the store, a git commit, a folder's tracked files."""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from cdaf import places, process
from cdaf.errors import CdafError, ProjectError, ResolveError
from cdaf.languages._python import lockfile, tree
from cdaf.languages._python.tree import Leaf
from cdaf.languages._python.values import Choice
from cdaf.net import fetch, http

# PEP 517: what a source without [build-system] is built with; PEP 518 has the `requires`.
_LEGACY = ("setuptools>=40.8.0",)
_GIT = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "0", "LC_ALL": "C"}
# What an archive holds must hang on the commit alone: neither on the user's line ends, attributes and umask, nor,
# where an export-subst attribute writes an abbreviated commit, on how many commits the clone has.
_SETTLED = tuple(
    word
    for setting in ("core.abbrev=40", "core.autocrlf=false", "core.eol=lf", "core.attributesFile=", "tar.umask=0022")
    for word in ("-c", setting)
)


class Source(msgspec.Struct, frozen=True):
    """A source: `identity` is the hash of its bytes, `lay` puts it into an empty folder and names where it begins."""

    identity: str
    lay: Callable[[Path], Path]


def of(choice: Choice, got: fetch.Got | None) -> Source:
    """The source of a choice; `got` is its archive when it is an sdist."""
    if choice.kind == "directory":
        return _directory(choice)
    if choice.kind == "git":
        return _git(choice)
    assert got is not None
    archive = got.path

    def lay(into: Path) -> Path:
        return _below(tree.unpack(archive, choice.filename, into), choice)

    return Source(got.sha256, lay)


def declared(folder: Path) -> tuple[str, ...]:
    """`[build-system] requires` of the source in `folder`, as it stands. Raises ProjectError when it is not TOML."""
    system = lockfile.manifest(folder / "pyproject.toml").get("build-system")
    return _LEGACY if system is None else tuple(sorted(str(each) for each in system.get("requires", ())))


def _directory(choice: Choice) -> Source:
    folder = Path(choice.directory)
    if not folder.is_dir():
        raise ProjectError(f"{choice.name}: {folder}, which uv.lock names, is no folder", "run `uv lock`")
    leaves = tree.tracked(folder)
    identity = tree.digest(leaves)

    def lay(into: Path) -> Path:
        tree.copy(leaves, into)
        laid = [Leaf(leaf.name, into / leaf.name, leaf.executable, leaf.link) for leaf in leaves]
        if tree.digest(laid) != identity:
            raise ProjectError(f"{folder} changed while it was packaged", "package again")
        return _below(into, choice)

    return Source(identity, lay)


def _git(choice: Choice) -> Source:
    def lay(into: Path) -> Path:
        repository = _fetched(choice)
        archive = ["git", "-C", str(repository), *_SETTLED, "archive", "--format=tar", choice.commit]
        failure = f"{choice.name}: commit {choice.commit} cannot be read"
        data = process.must(archive, ResolveError, failure, env=_GIT)
        with tree.sound(failure, "lock another commit"), tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tree.untar(tar, into)
        tree.settle(into)
        return _below(into, choice)

    return Source(choice.commit, lay)


def _fetched(choice: Choice) -> Path:
    """A bare repository in the cache that has the commit; git's own credentials serve."""
    name = hashlib.sha256(choice.url.encode()).hexdigest()
    repository = places.cache() / "git" / name[:32]
    if _has(repository, choice.commit):
        return repository
    repository.parent.mkdir(parents=True, exist_ok=True)
    failure = f"{choice.name}: git cannot fetch {choice.commit} from {http.clean(choice.url)}"
    if not (repository / "HEAD").is_file():
        process.must(["git", "init", "--quiet", "--bare", str(repository)], ResolveError, failure, env=_GIT)
    fetching = ["git", "-C", str(repository), "fetch", "--quiet", "--no-tags", choice.url]
    # A server may refuse a commit by its name; its branches and tags hold it then.
    if process.run([*fetching, "--depth=1", choice.commit], env=_GIT).code or not _has(repository, choice.commit):
        _all(fetching, failure)
    if not _has(repository, choice.commit):
        raise ResolveError(f"{failure}: no branch or tag there leads to it", "run `uv lock --upgrade-package` for it")
    return repository


def _all(fetching: list[str], failure: str) -> None:
    done = process.run([*fetching, "+refs/*:refs/cdaf/*"], env=_GIT)
    if done.code:
        told = lockfile.redacted(done.stderr).decode(errors="replace").strip()
        unreachable = any(word in told for word in ("Could not resolve", "timed out", "unable to access", "Connection"))
        raise ResolveError(failure, "check the network and git's credentials", told, transient=unreachable)


def _has(repository: Path, commit: str) -> bool:
    asked = ["git", "-C", str(repository), "cat-file", "-e", f"{commit}^{{commit}}"]
    return repository.is_dir() and process.run(asked, env=_GIT).code == 0


def _below(folder: Path, choice: Choice) -> Path:
    below = Path(os.path.normpath(folder / choice.subdirectory))
    if not below.is_relative_to(folder) or not below.is_dir():
        raise ResolveError(f"{choice.name}: its source has no folder {choice.subdirectory}", "run `uv lock`")
    return below


def check_declared(choice: Choice, pinned: tuple[str, ...]) -> str:
    """What is wrong with the pinned build requirements of a local folder, if anything."""
    try:
        now = declared(Path(choice.directory) / choice.subdirectory)
    except CdafError as error:
        return error.message
    return (
        "" if now == pinned else f"{choice.name} is built with {', '.join(now)}, and cdaf.lock has {', '.join(pinned)}"
    )
