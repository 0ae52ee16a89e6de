"""Reading Gemfile.lock: sections at the margin, each with lines two spaces deeper (Bundler's LockfileParser)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from cdaf.errors import ProjectError, faults
from cdaf.languages._ruby.values import RUBY, Dependency, Locked, Source, Spec
from cdaf.net import http

NAMES = {"Gemfile.lock": "Gemfile", "gems.locked": "gems.rb"}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
VERSION = re.compile(r"[0-9]+(?:\.[0-9A-Za-z]+)*")  # Gem::Version::VERSION_PATTERN, its dashed form aside
PLATFORM = re.compile(r"[a-z0-9_]+(?:-[a-z0-9_.]+){0,2}")
_SPEC = re.compile(r"(\S+) \(([^()\s-]+)(?:-([^()\s]+))?\)")
_DEPENDENCY = re.compile(r"([^\s!()]+)(?: \(([^()]*)\))?(!)?")
_CHECKSUM = re.compile(r"(\S+) \(([^()\s]+)\)(?: (\S+))?")
_SOURCES = {"GEM": "gem", "GIT": "git", "PATH": "path"}
_PLUGIN = "PLUGIN SOURCE"
_OTHERS = ("PLATFORMS", "DEPENDENCIES", "CHECKSUMS", "RUBY VERSION", "BUNDLED WITH")
_OLDEST = (2, 0)
_NEWEST = 4  # the major version of Bundler whose locks were read when this was written
_HEX = {"sha256": 64, "sha384": 96, "sha512": 128}


def find(root: Path, top: Path) -> Path:
    """The nearest lock at or above `root`, not above `top`. Raises ProjectError when there is none."""
    folder = root
    while True:
        for name in NAMES:
            if (folder / name).is_file():
                return folder / name
        if folder in (top, folder.parent):
            raise ProjectError(f"no Gemfile.lock in {root} or above", "run `bundle lock`, and commit Gemfile.lock")
        folder = folder.parent


def manifest(lock: Path) -> Path:
    """The Gemfile beside a lock."""
    return lock.with_name(NAMES[lock.name])


def read(path: Path) -> Locked:
    """The lock. Raises ProjectError with all faults of its text."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ProjectError(f"{path.name} is not UTF-8: {error}", "restore it from git, or run `bundle lock`") from error
    return parse(text, path.name)


def parse(text: str, name: str = "Gemfile.lock") -> Locked:
    """The lock that a text is. Raises ProjectError with all its faults."""
    if re.search(r"^(?:<{7}|={7}|>{7}|\|{7})(?: |$)", text, re.MULTILINE):
        raise ProjectError(f"{name} holds merge conflicts", "resolve them, then run `bundle lock`")
    wrong: list[str] = []
    sections = list(_sections(text, wrong))
    alone = {title: lines for title, lines in sections if title in _OTHERS}
    bundler = "".join(each.strip() for each in alone.get("BUNDLED WITH", ()))
    _judge_version(bundler, wrong)
    found = Locked(
        tuple(_source(_SOURCES[title], lines, wrong) for title, lines in sections if title in _SOURCES),
        tuple(each.strip() for each in alone.get("PLATFORMS", ()) if each.strip()),
        tuple(_dependencies(alone.get("DEPENDENCIES", ()), wrong)),
        dict(_checksums(alone.get("CHECKSUMS", ()), wrong)),
        "".join(each.strip() for each in alone.get("RUBY VERSION", ())),
        bundler,
    )
    wrong += [f"the section {each} is missing" for each in ("PLATFORMS", "DEPENDENCIES") if each not in alone]
    wrong += _twice(found)
    if wrong:
        raise ProjectError(faults(name, wrong), "run `bundle lock`, and commit the file")
    return found


def redacted(data: bytes) -> bytes:
    """The lock without the credentials that its addresses may carry."""
    return re.sub(rb"(?<=://)[^/@\s]+@", b"", data)


def credentials(data: bytes) -> Mapping[str, tuple[str, str]]:
    """The logins that addresses in the lock carry, by host and port."""
    found = {}
    for user, secret, host in re.findall(r"https?://([^/@\s:]*):?([^/@\s]*)@([^/\s]+)", data.decode(errors="replace")):
        found[host.lower()] = (unquote(user), unquote(secret))
    return found


def _sections(text: str, wrong: list[str]) -> Iterator[tuple[str, list[str]]]:
    title, lines = "", list[str]()
    for line in [*text.splitlines(), ""]:
        if line and not line[0].isspace():
            if title:
                yield title, lines
            title, lines = line.strip(), []
            if title == _PLUGIN:
                wrong.append(f"the section {title}: sources by plugins of Bundler are not known here")
            elif title not in _SOURCES and title not in _OTHERS:
                wrong.append(f"the section {title!r} is unknown")
        elif line.strip():
            lines.append(line)
    if title:
        yield title, lines


def _judge_version(bundler: str, wrong: list[str]) -> None:
    numbers = re.fullmatch(r"(\d+)\.(\d+)(?:\.[0-9A-Za-z]+)*", bundler)
    if not bundler:
        return  # Bundler leaves it out where it is not itself of a released version
    if not numbers:
        wrong.append(f"BUNDLED WITH says {bundler!r}, which is no version")
    elif (int(numbers[1]), int(numbers[2])) < _OLDEST:
        wrong.append(f"written by Bundler {bundler}; locks of Bundler 2 and later are read")
    elif int(numbers[1]) > _NEWEST:
        wrong.append(f"written by Bundler {bundler}, which is newer than this cdaf knows")


def _source(kind: str, lines: Iterable[str], wrong: list[str]) -> Source:
    options: dict[str, str] = {}
    remotes: list[str] = []
    specs: list[tuple[str, str, str]] = []
    needs: dict[int, list[str]] = {}
    for line in lines:
        depth, said = len(line) - len(line.lstrip()), line.strip()
        if depth == 2:
            key, _, value = said.partition(":")
            options[key] = value.strip()
            if key == "remote":
                remotes.append(value.strip())
        elif depth == 4 and (found := _SPEC.fullmatch(said)):
            specs.append((found[1], found[2], found[3] or RUBY))
        elif depth == 6 and specs and (needed := _DEPENDENCY.fullmatch(said)):
            needs.setdefault(len(specs) - 1, []).append(needed[1])
        else:
            wrong.append(f"the line {said!r} cannot be read")
    found_specs = tuple(Spec(*each, tuple(sorted(set(needs.get(at, ()))))) for at, each in enumerate(specs))
    wrong += [fault for each in found_specs for fault in _escapes(each)]
    if not remotes and (specs or kind != "gem"):
        wrong.append(f"a section {kind.upper()} has no remote")
    revision = options.get("revision", "")
    if kind == "git" and not re.fullmatch(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", revision):
        wrong.append(f"{_bare(remotes)}: the revision {revision!r} is no commit")
    return Source(kind, tuple(remotes), found_specs, revision, options.get("glob", ""))


def _bare(remotes: Iterable[str]) -> str:
    return ", ".join(http.clean(each) if "://" in each else each for each in remotes)


def _escapes(spec: Spec) -> Iterator[str]:
    """Names of folders and files are made of these: nothing in them may lead elsewhere."""
    if not NAME.fullmatch(spec.name) or ".." in spec.name:
        yield f"{spec.name!r} is no gem's name"
    if not VERSION.fullmatch(spec.version):
        yield f"{spec.name}: {spec.version!r} is no version"
    if not PLATFORM.fullmatch(spec.platform):
        yield f"{spec.name}: {spec.platform!r} is no platform"


def _dependencies(lines: Iterable[str], wrong: list[str]) -> Iterator[Dependency]:
    for line in lines:
        found = _DEPENDENCY.fullmatch(line.strip())
        if not found or not NAME.fullmatch(found[1]):
            wrong.append(f"DEPENDENCIES: the line {line.strip()!r} cannot be read")
            continue
        asked = tuple(sorted(each.strip() for each in (found[2] or "").split(",") if each.strip()))
        yield Dependency(found[1], asked, bool(found[3]))


def _checksums(lines: Iterable[str], wrong: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        found = _CHECKSUM.fullmatch(line.strip())
        if not found:
            wrong.append(f"CHECKSUMS: the line {line.strip()!r} cannot be read")
        elif found[3]:
            known = dict(each.split("=", 1) for each in found[3].split(",") if "=" in each)
            digest = next(((name, known[name].lower()) for name in _HEX if name in known), None)
            if digest and re.fullmatch(rf"[0-9a-f]{{{_HEX[digest[0]]}}}", digest[1]):
                yield f"{found[1]}-{found[2]}", f"{digest[0]}:{digest[1]}"
            else:
                wrong.append(f"CHECKSUMS: {found[1]} ({found[2]}) has no hash that is known here: {found[3]}")


def _twice(locked: Locked) -> Iterator[str]:
    """Two gems of one name, or of names that only letter case tells apart: their files would be one in many places."""
    seen: dict[str, tuple[str, int]] = {}
    for at, source in enumerate(locked.sources):
        for spec in source.specs:
            name, where = seen.setdefault(spec.full.lower(), (spec.full, at))
            if name != spec.full:
                yield f"{name} and {spec.full} differ by letter case alone"
            elif where != at:
                yield f"{name} comes from two sources"
    versions: dict[str, set[str]] = {}
    for source in locked.sources:
        for spec in source.specs:
            versions.setdefault(spec.name, set()).add(spec.version)
    for name, found in versions.items():
        if len(found) > 1:
            yield f"{name} is locked in {len(found)} versions: {', '.join(sorted(found))}"


def clean(remote: str) -> str:
    """An index's address without userinfo, query and final slash."""
    parts = urlsplit(remote)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def relative(path: Path, top: Path) -> str:
    """A path as messages name it."""
    return os.path.relpath(path, top)
