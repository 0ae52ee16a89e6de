"""What git knows of a project: its commit, its tracked files, its tags.

A user's own settings change what some of git's commands say; these ask for what no setting changes.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from cdaf import process
from cdaf.errors import ProjectError

_ENV = {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
# Hooks and aliases set these; here the folder alone says which repository is meant.
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX")
_FILTERS = ("filter", "ident", "working-tree-encoding")
_FORMS = r"^(filter\..*|core\.(autocrlf|eol|safecrlf|filemode|symlinks|ignorecase|precomposeunicode))$"
_COLUMNS = {"1 ": 8, "u ": 10}  # of a changed and an unmerged path, before its name (git-status(1), format 2)
_CHUNK = 1 << 20
_AT_ONCE = 500


class Head(msgspec.Struct, frozen=True):
    """The commit a work tree stands on; `time` is the committer's, seconds since the epoch."""

    root: Path
    commit: str
    time: int
    tags: tuple[str, ...]
    shallow: bool


class Status(msgspec.Struct, frozen=True):
    """The commit at HEAD, and the tracked paths that differ from it, relative to the root: modified, added, deleted."""

    commit: str
    changed: frozenset[str]


class Tracked(msgspec.Struct, frozen=True):
    """One tracked path, relative to the folder asked about, with git's mode (100644, 100755, 120000, 160000).

    `blob` is the hex name of its content, SHA-1 or SHA-256 as the repository has it.
    """

    name: str
    mode: str
    blob: str = ""


def head(folder: Path) -> Head:
    """The commit at HEAD. Raises ProjectError when there is no git, no repository or no commit."""
    if process.find("git") is None:
        raise ProjectError("git is not installed", "install git")
    told = _git(folder, "rev-parse", "--show-toplevel", "--is-shallow-repository")
    if b"dubious ownership" in told.stderr:
        raise ProjectError(
            f"{folder} belongs to another user, and git does not trust it",
            "run as its owner, or as git says: `git config --global --add safe.directory FOLDER`",
            told.stderr.decode(errors="replace").strip(),
        )
    if told.code:
        raise ProjectError(
            f"{folder} is not in a git repository: what enters a bundle is decided by what git tracks",
            "run `git init`, then add and commit the service's files",
            "" if b"not a git repository" in told.stderr else told.stderr.decode(errors="replace").strip(),
        )
    # A folder's name may hold a line end, and bytes that are no text.
    top, _, shallow = os.fsdecode(told.stdout).rstrip("\n").rpartition("\n")
    shown = _git(folder, "log", "-1", "--no-show-signature", "--no-color", "--format=%H %ct")
    if shown.code:
        raise ProjectError(f"{top} has no commit yet", "commit the service's files")
    commit, time = shown.stdout.decode().split()
    listed = _must(folder, "for-each-ref", "--points-at=HEAD", "--format=%(refname:strip=2)", "refs/tags")
    return Head(Path(top), commit, int(time), tuple(sorted(os.fsdecode(listed).splitlines())), shallow == "true")


def tracked(folder: Path) -> tuple[Tracked, ...]:
    """Every tracked path below `folder`, relative to it. Raises ProjectError for a name that is not UTF-8."""
    listed = _must(folder, "ls-files", "-z", "--stage")
    found: dict[str, Tracked] = {}
    for row in filter(None, listed.split(b"\0")):
        meta, _, name = row.partition(b"\t")
        try:
            mode, blob, _ = meta.decode().split(" ")
            found[name.decode()] = Tracked(name.decode(), mode, blob)
        except UnicodeDecodeError as error:
            raise ProjectError(
                f"{name!r} in {folder} is not a UTF-8 file name, and a bundle holds no other", "rename the file"
            ) from error
    return tuple(found[name] for name in sorted(found))


def status(root: Path) -> Status:
    """What git says of the work tree."""
    words = ("--porcelain=v2", "-z", "--branch", "--no-ahead-behind", "--untracked-files=no", "--no-renames")
    commit, changed = "", set()
    for row in _must(root, "status", *words).decode(errors="surrogateescape").split("\0"):
        if row.startswith("# branch.oid "):
            commit = row.removeprefix("# branch.oid ")
        elif kind := _COLUMNS.get(row[:2]):
            changed.add(row.split(" ", kind)[kind])
    return Status(commit, frozenset(changed))


def commit(root: Path) -> str:
    """The commit at HEAD."""
    return _must(root, "rev-parse", "--verify", "HEAD^{commit}").decode().strip()


def untracked(folder: Path) -> tuple[str, ...]:
    """The files below `folder` that git neither tracks nor passes over; none where git cannot tell."""
    listed = _git(folder, "ls-files", "-z", "--others", "--exclude-standard").stdout
    return tuple(name.decode(errors="replace") for name in listed.split(b"\0") if name)


def tagged(folder: Path, tag: str) -> str | None:
    """The commit that a tag names, if there is such a tag."""
    found = _git(folder, "rev-parse", "--quiet", "--verify", f"refs/tags/{tag}^{{commit}}")
    return found.stdout.decode().strip() if found.code == 0 else None


def differing(root: Path, entries: Iterable[Tracked]) -> frozenset[str]:
    """The entries whose files are not what the index has, by their bytes.

    `status` may not say so: files can be marked as unchanged, a sparse checkout leaves some out, and line ends that
    one machine's configuration asks for count as equal. What the repository's own attributes ask for is equal here
    too: filters, encodings and line ends.
    """
    suspects = [each for each in entries if each.mode != "160000" and _blob(root, each) != each.blob]
    names = [each.name for each in suspects if (root / each.name).is_file() and not (root / each.name).is_symlink()]
    filtered = dict(_cleaned(root, _with_filters(root, names)))
    return frozenset(each.name for each in suspects if filtered.get(each.name) != each.blob)


def _blob(root: Path, entry: Tracked) -> str:
    """The hex name that git would give to the file's bytes as they lie on disk, empty when there is no such file."""
    path = root / entry.name
    digest = hashlib.sha1(usedforsecurity=False) if len(entry.blob) == 40 else hashlib.sha256()
    try:
        if entry.mode == "120000":
            target = os.fsencode(path.readlink())
            digest.update(b"blob %d\0" % len(target) + target)
        elif path.is_symlink() or not path.is_file():
            return ""
        else:
            with path.open("rb") as file:
                digest.update(b"blob %d\0" % os.fstat(file.fileno()).st_size)
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        # A link on a file system without links is a file that holds its target; it enters as no link either.
        raise ProjectError(f"{path} cannot be read: {error.strerror}", "make it readable") from error
    return digest.hexdigest()


def _with_filters(root: Path, names: Sequence[str]) -> list[str]:
    """Those that an attribute of the repository gives another form on disk (gitattributes(5))."""
    found: dict[str, None] = {}
    for some in _parts(names):
        asked = ("check-attr", "-z", *_FILTERS, "eol", "--", *some)
        told = _must(root, "-c", "core.attributesFile=", *asked).decode().split("\0")
        for name, attribute, value in zip(told[::3], told[1::3], told[2::3], strict=False):
            if value == "crlf" or (attribute in _FILTERS and value not in ("unspecified", "unset")):
                found[name] = None
    return list(found)


def _cleaned(root: Path, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each name with the blob that its file becomes by the filters."""
    for some in _parts(names):
        yield from zip(some, _must(root, "hash-object", "--", *some).decode().split(), strict=True)


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE))


def describe(folder: Path) -> str | None:
    """The version in the nearest `v…` tag at or behind HEAD."""
    found = _git(folder, "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*")
    return found.stdout.decode().strip().removeprefix("v") if found.code == 0 else None


def duplicate(found: Head, into: Path) -> None:
    """A copy of a repository with its work tree as it stands: what git tracks, and what it does not pass over.

    The commits themselves are only referred to. Raises ProjectError.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    _must(found.root, "clone", "--quiet", "--shared", "--no-checkout", "--", str(found.root), str(into))
    _must(into, "update-ref", "--no-deref", "HEAD", found.commit)
    _duplicate_state(found.root, into)
    listed = _must(found.root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in dict.fromkeys(map(os.fsdecode, filter(None, listed.split(b"\0")))):
        source, target = found.root / name, into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
            _repoint(source, target)
        elif source.is_symlink() or source.exists():
            shutil.copy2(source, target, follow_symlinks=False)


def _duplicate_state(root: Path, into: Path) -> None:
    """The index, and what the repository alone says of files' forms: both decide what counts as changed."""
    index = _place(root, "index")
    for part in (index, *index.parent.glob("sharedindex.*")):
        shutil.copy(part, into / ".git" / part.name)
    if (attributes := _place(root, "info/attributes")).is_file():
        (into / ".git" / "info").mkdir(exist_ok=True)
        shutil.copy(attributes, into / ".git" / "info" / "attributes")
    told = _git(root, "config", "--local", "-z", "--get-regexp", _FORMS).stdout
    for row in map(os.fsdecode, filter(None, told.split(b"\0"))):
        key, _, value = row.partition("\n")
        _must(into, "config", "--local", "--add", key, value)


def _place(root: Path, name: str) -> Path:
    return root / os.fsdecode(_must(root, "rev-parse", "--git-path", name)).rstrip("\n")


def _repoint(source: Path, target: Path) -> None:
    """A submodule knows its repository by a path that is relative to where it stands (gitrepository-layout(5))."""
    for link in source.rglob(".git"):
        if link.is_file():
            place = link.parent / os.fsdecode(link.read_bytes()).removeprefix("gitdir:").strip()
            (target / link.relative_to(source)).write_bytes(b"gitdir: " + os.fsencode(place.resolve()) + b"\n")


def _git(folder: Path, *words: str) -> process.Finished:
    return process.run(_command(folder, words), env=_ENV)


def _must(folder: Path, *words: str) -> bytes:
    verb = next(word for word in words if not word.startswith("-c") and "=" not in word)
    return process.must(_command(folder, words), ProjectError, f"git {verb} failed in {folder}", env=_ENV)


def _command(folder: Path, words: Sequence[str]) -> list[str]:
    unset = [word for name in _ELSEWHERE for word in ("-u", name)]
    return ["env", *unset, "git", "-C", str(folder), *words]
