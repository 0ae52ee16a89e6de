"""The source of a git dependency: one commit, by its full hash, from a bare repository in the cache."""

import hashlib
import io
import re
import tarfile
from pathlib import Path

from cdaf import places, process
from cdaf.errors import ResolveError
from cdaf.languages._shared import tree
from cdaf.net import http

_GIT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "0",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",  # others run what an address says
    "LC_ALL": "C",
}
# An address and a commit come from a lock, which anybody may have written: git must not take either for an option.
_ADDRESS = re.compile(r"(?:https?|ssh|git|file)://[^\s\0-][^\s\0]*|[\w.][\w.-]*@[\w.][\w.-]*:[^\s\0]+|/[^\0\n]*")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# What an archive holds must hang on the commit alone: neither on the user's line ends, attributes and umask, nor,
# where an export-subst attribute writes an abbreviated commit, on how many commits the clone has.
_SETTLED = tuple(
    word
    for setting in ("core.abbrev=40", "core.autocrlf=false", "core.eol=lf", "core.attributesFile=", "tar.umask=0022")
    for word in ("-c", setting)
)


def lay(name: str, url: str, commit: str, into: Path) -> None:
    """Lay a commit out in an empty folder, modes and times fixed; `name` is for messages. Raises ResolveError."""
    repository = fetched(name, url, commit)
    archive = ["git", "-C", str(repository), *_SETTLED, "archive", "--format=tar", commit]
    data = process.must(archive, ResolveError, f"{name}: commit {commit} cannot be read", env=_GIT)
    failure = f"{name}: commit {commit} cannot be read"
    with tree.sound(failure, "lock another commit"), tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tree.untar(tar, into)
    tree.settle(into)


def fetched(name: str, url: str, commit: str) -> Path:
    """A bare repository in the cache that has the commit; git's own credentials serve.

    Raises ResolveError, before git is asked, for what is no address of a repository or no whole commit.
    """
    if not _ADDRESS.fullmatch(url) or not _COMMIT.fullmatch(commit):
        odd = commit if _ADDRESS.fullmatch(url) else _redacted(url)
        raise ResolveError(f"{name}: {odd[:80]!r} is no place that git fetches from", "lock it from another place")
    folder = hashlib.sha256(url.encode()).hexdigest()
    repository = places.cache() / "git" / folder[:32]
    if _has(repository, commit):
        return repository
    repository.parent.mkdir(parents=True, exist_ok=True)
    failure = f"{name}: git cannot fetch {commit} from {http.clean(url)}"
    if not (repository / "HEAD").is_file():
        process.must(["git", "init", "--quiet", "--bare", str(repository)], ResolveError, failure, env=_GIT)
    fetching = ["git", "-C", str(repository), "fetch", "--quiet", "--no-tags"]
    # A server may refuse a commit by its name; its branches and tags hold it then.
    if process.run([*fetching, "--depth=1", "--", url, commit], env=_GIT).code or not _has(repository, commit):
        _all([*fetching, "--", url], failure)
    if not _has(repository, commit):
        raise ResolveError(f"{failure}: no branch or tag there leads to it", "lock another commit")
    return repository


def _all(fetching: list[str], failure: str) -> None:
    done = process.run([*fetching, "+refs/*:refs/cdaf/*"], env=_GIT)
    if done.code:
        told = _redacted(done.stderr.decode(errors="replace")).strip()
        unreachable = any(word in told for word in ("Could not resolve", "timed out", "unable to access", "Connection"))
        raise ResolveError(failure, "check the network and git's credentials", told, transient=unreachable)


def _has(repository: Path, commit: str) -> bool:
    asked = ["git", "-C", str(repository), "cat-file", "-e", f"{commit}^{{commit}}"]
    return repository.is_dir() and process.run(asked, env=_GIT).code == 0


def _redacted(text: str) -> str:
    """What git says, without the credentials that a URL in it may carry."""
    return re.sub(r"(?<=://)[^/@\s\"']+@", "", text)
