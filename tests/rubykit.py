"""What the tests of the Ruby language share: small gems, an index of them, services with their locks."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cdaf import languages
from cdaf.images import content, layer
from cdaf.images import plan as plans
from cdaf.images.coder import Stream
from cdaf.languages import ruby
from cdaf.projects import pins, project
from tests import loopback, makers

BASE = "ruby:3.4-slim"
INDEX = "https://gems.example.invalid"
HOME = "app/vendor/bundle/ruby/3.4.0"
BOTH = ("linux/amd64", "linux/arm64")
FACTS = pins.Facts(
    interpreter="/usr/local/bin/ruby",
    interpreter_version="3.4.7",
    libc="glibc",
    libc_version="2.41",
    passwd="root:x:0:0:root:/root:/bin/bash\n",
    group="root:x:0:\n",
)
CONFIG = """\
[service]
version = "1.0.0"
start = ["ruby", "app.rb"]
include = ["app.rb"]
"""
Files = Mapping[str, str | bytes]
NONE: Files = {}


def gem(
    name: str,
    version: str = "1.0.0",
    files: Files = NONE,
    *,
    platform: str = "ruby",
    needs: Mapping[str, str] = {},
    metadata: str = "",
    executables: Sequence[str] = (),
    extensions: Sequence[str] = (),
    ruby: str = ">= 0",
    members: Sequence[tarfile.TarInfo] = (),
) -> bytes:
    """A gem as RubyGems makes it; `metadata` takes the place of its description, `members` are added as they are."""
    own = {f"lib/{name}.rb": f"{name.replace('-', '_').title()} = 1\n", **files}
    told = metadata or _metadata(name, version, platform, needs, executables, extensions, ruby)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, text in own.items():
            _add(tar, path, text if isinstance(text, bytes) else text.encode())
        for each in members:
            tar.addfile(each, io.BytesIO(bytes(each.size)))
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, "metadata.gz", gzip.compress(told.encode(), mtime=0))
        _add(tar, "data.tar.gz", gzip.compress(data.getvalue(), mtime=0))
    return whole.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o755 if data.startswith(b"#!") else 0o640
    tar.addfile(member, io.BytesIO(data))


def _metadata(
    name: str,
    version: str,
    platform: str,
    needs: Mapping[str, str],
    executables: Sequence[str],
    extensions: Sequence[str],
    ruby: str,
) -> str:
    lines = ["--- !ruby/object:Gem::Specification", f"name: {name}", "version: !ruby/object:Gem::Version"]
    lines += [
        f"  version: {version}",
        f"platform: {platform}",
        "authors:",
        "- Somebody",
        "bindir: bin",
        "dependencies:",
    ]
    for other, asked in needs.items():
        lines += ["- !ruby/object:Gem::Dependency", f"  name: {other}", *_asked("  requirement", asked)]
        lines += ["  type: :runtime", "  prerelease: false"]
    for key, values in (("executables", executables), ("extensions", extensions), ("licenses", ("MIT",))):
        lines += [f"{key}:", *(f"- {each}" for each in values)] if values else [f"{key}: []"]
    lines += ["require_paths:", "- lib", *_asked("required_ruby_version", ruby), "rubygems_version: 3.6.9"]
    return "\n".join([*lines, "specification_version: 4", f"summary: The gem {name}.", ""])


def _asked(key: str, requirement: str) -> list[str]:
    operator, number = requirement.split(" ", 1)
    inside = " " * (len(key) - len(key.lstrip()) + 2)
    return [
        f"{key}: !ruby/object:Gem::Requirement",
        f"{inside}requirements:",
        f'{inside}- - "{operator}"',
        f"{inside}  - !ruby/object:Gem::Version",
        f"{inside}    version: '{number}'",
    ]


class Index:
    """A running index: gems by file name, and what was asked of it, with whose login."""

    def __init__(self) -> None:
        self.gems: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.login = ""
        self.url = ""

    def add(self, name: str, version: str = "1.0.0", files: Files = NONE, **how: Any) -> bytes:
        """Serve a gem and return its bytes."""
        platform = how.get("platform", "ruby")
        full = f"{name}-{version}" + ("" if platform == "ruby" else f"-{platform}")
        self.gems[f"{full}.gem"] = gem(name, version, files, **how)
        return self.gems[f"{full}.gem"]


class _Handler(loopback.Quiet):
    index: Index
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        index = self.index
        index.asked.append((self.path, self.headers.get("Authorization")))
        data = index.gems.get(self.path.rpartition("/")[2])
        if index.login and self.headers.get("Authorization") != index.login:
            self._answer(401, b"")
        else:
            self._answer(404 if data is None else 200, data or b"")

    do_HEAD = do_GET

    def _answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@contextmanager
def serving() -> Iterator[Index]:
    """An index on loopback, empty at first."""
    index = Index()
    with loopback.serving(_Handler, index=index) as index.url:
        yield index


def lock(
    specs: Mapping[str, Sequence[str]],
    dependencies: Sequence[str],
    *,
    platforms: Sequence[str] = ("ruby", "x86_64-linux"),
    checksums: Mapping[str, str] | None = None,
    before: str = "",
    remote: str = f"{INDEX}/",
    bundler: str = "2.6.9",
) -> str:
    """Gemfile.lock as Bundler writes it; `specs` are "name (version)" with what they need."""
    lines = [before, "GEM", f"  remote: {remote}", "  specs:"] if before else ["GEM", f"  remote: {remote}", "  specs:"]
    for spec, needs in specs.items():
        lines += [f"    {spec}", *(f"      {each}" for each in needs)]
    lines += ["", "PLATFORMS", *(f"  {each}" for each in platforms)]
    lines += ["", "DEPENDENCIES", *(f"  {each}" for each in dependencies)]
    if checksums is not None:
        lines += ["", "CHECKSUMS", *(f"  {spec} {told}".rstrip() for spec, told in checksums.items())]
    return "\n".join([*lines, "", "BUNDLED WITH", f"   {bundler}", ""])


def sums(index: Index) -> dict[str, str]:
    """The section CHECKSUMS of all that an index serves."""
    found = {}
    for file, data in index.gems.items():
        name, _, number = file.removesuffix(".gem").partition("-")
        found[f"{name} ({number})"] = f"sha256={hashlib.sha256(data).hexdigest()}"
    return found


def service(folder: Path, gemfile: str, locked: str, files: Files = NONE, config: str = CONFIG) -> project.Project:
    """A committed service."""
    told = {"Gemfile": gemfile, "Gemfile.lock": locked, "cdaf.toml": config, "app.rb": "puts 1\n"}
    makers.repository(folder, {**told, **files})
    return project.read(folder)


def pinned(
    facts: pins.Facts = FACTS,
    platforms: Sequence[str] = BOTH,
    archives: Sequence[pins.Archive] = (),
    reference: str = BASE,
) -> pins.Pins:
    """Pins of one base for some platforms."""
    digest = "sha256:" + hashlib.sha256(reference.encode()).hexdigest()
    bases = (pins.Base(reference=reference, platform=each, digest=digest, facts=facts) for each in platforms)
    return pins.Pins(bases=tuple(bases), archives=tuple(archives))


def through(found: project.Project, kept: pins.Pins | None = None) -> tuple[languages.Collection, languages.Planned]:
    """All three acts, hashes taken first where the lock has none."""
    kept = kept or pinned(archives=ruby.pin_archives(found, ()))
    collection = ruby.collect(found, ruby.resolve(found, kept))
    return collection, ruby.plan(found, collection)


Tree = dict[str, tuple[str, bytes]]  # by path: kind (file, program, link) and content or target


def laid(
    found: project.Project,
    collection: languages.Collection,
    planned: languages.Planned,
    platform: str = BOTH[0],
    *,
    smoke: bool = False,
) -> Tree:
    """What the layers really hold, by path from the root on, folders left out."""
    held = {each.dependency.archive: content.of_file(each.path, each.dependency.sha256) for each in collection.archives}
    held |= {f"app/{file.name}": content.of_file(file.path) for file in found.files}
    held |= {f"smoke/{file.name}": content.of_file(file.path) for file in found.checks}
    held |= {name: content.of_bytes(data) for name, data in planned.generated.items()} | planned.kept
    images: Sequence[Any] = planned.plans.smoke if smoke else planned.plans.images
    layers = next(each for each in images if each.platform == platform).layers
    tree: Tree = {}
    for each in layers:
        out = io.BytesIO()
        stream = Stream(out)
        layer.write(each, held, plans.folders(layers), stream)
        stream.finish()
        tree |= untarred(out.getvalue(), tree)
    return tree


def untarred(data: bytes, known: Tree) -> Tree:
    """The files of a tar, none of which is known already."""
    found: Tree = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            if member.isdir():
                continue
            assert member.name not in known, f"{member.name} is placed twice"
            file = tar.extractfile(member) if member.isreg() else None
            kind = "program" if member.mode & 0o111 else "file"
            found[member.name] = (kind, file.read()) if file else ("link", member.linkname.encode())
    return found
