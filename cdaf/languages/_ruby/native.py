"""Gems with extensions: compiled by RubyGems in the build image, without network, and what comes out is recorded."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cdaf import progress, store
from cdaf.bases import elf
from cdaf.bases.elf import Elf
from cdaf.errors import ProjectError, ResolveError
from cdaf.images import content as bytes_of
from cdaf.images import tarform
from cdaf.images.content import Content
from cdaf.images.plan import Entry, Place, Unpack
from cdaf.images.tarform import Header
from cdaf.languages._ruby import package, source
from cdaf.languages._ruby.package import Reading
from cdaf.languages._ruby.source import Tree
from cdaf.languages._ruby.values import Choice, Target
from cdaf.languages._shared import container, memo, tree
from cdaf.projects import pins as pinned
from cdaf.projects.pins import Base, Pins
from cdaf.projects.project import Project

KIND = "gems"  # of the store: what builds left
_GEMS, _KNOWN = "/build/gems", "/build/known"
# What a build leaves beside what it made: logs with times in them, objects, what make wants to know.
_LEFT = re.compile(
    r"(?:.*/)?(?:mkmf\.log|gem_make\.out|Makefile|[^/]+\.o|\.sitearchdir\S*|\.RUBYARCHDIR\S*|[^/]*\.time)"
)
_OWNER = re.compile(r"(?:gems|extensions/[^/]+/[^/]+)/([^/]+)/")
# Installs the gems of each argument ("a,b") at once, one argument after the other, and copies what is new.
_PROGRAM = r"""
require "fileutils"
home, out = ARGV.shift(2)
ENV["GEM_HOME"] = ENV["GEM_PATH"] = home
line = %w[gem install --local --ignore-dependencies --force --no-document --install-dir]
ARGV.each do |names|
  runs = names.split(",").map do |name|
    Thread.new do
      log = IO.popen([*line, home, "/build/gems/#{name}.gem", err: [:child, :out]], &:read)
      [$?.success?, name, log]
    end
  end
  failed = runs.map(&:value).reject(&:first)
  failed.each do |_, name, log|
    puts "#{name}:", log
    Dir.glob("#{home}/extensions/*/*/#{name}/mkmf.log").each { |each| puts File.readlines(each).last(40) }
  end
  exit 1 unless failed.empty?
end
Dir.chdir(home)
ARGV.flat_map { |names| names.split(",") }.each do |name|
  known = File.readlines("/build/known/#{name}", chomp: true)
  old = known.to_h { |each| ["gems/#{name}/#{each}", true] }
  made = Dir.glob(["gems/#{name}/**/*", "extensions/*/*/#{name}/**/*"], File::FNM_DOTMATCH)
  made.each do |path|
    next if old[path] || !File.file?(path) || File.symlink?(path)
    FileUtils.mkdir_p(File.dirname("#{out}/#{path}"))
    FileUtils.cp(path, "#{out}/#{path}", preserve: true)
  end
end
"""
_REVISION = "1"  # of what is above: an answer of another program is none


class Built(msgspec.Struct, frozen=True):
    """What building a gem added: a canonical tar in the store, its files by their path below the gems' home."""

    sha256: str
    files: tuple[str, ...]
    native: dict[str, Elf] = {}

    @property
    def path(self) -> Path:
        """Where the tar lies."""
        return store.path(KIND, self.sha256)


class Part(msgspec.Struct, frozen=True):
    """A gem at hand: what the lock says, where its file is, what it holds; `tree` is a git or path gem's source."""

    choice: Choice
    path: Path
    sha256: str
    reading: Reading
    tree: Tree | None = None

    @property
    def archive(self) -> str:
        """Its name in the bundle; gems of one repository share one."""
        return f"deps/{self.choice.filename if self.tree is None else f'{source.stem(self.choice)}.tar'}"

    @property
    def builds(self) -> bool:
        """Whether it has something to compile."""
        return bool(self.reading.spec.extensions)


class Bench(msgspec.Struct, frozen=True):
    """Where gems are built: the image, and the target that they are for."""

    target: Target
    image: Base

    @property
    def key(self) -> str:
        """Tells apart what one gem becomes in different places."""
        return f"{self.target.home} {self.image.platform} {self.image.digest}"


def bench(project: Project, pins: Pins, target: Target) -> Bench:
    """Where a target's gems are built. Raises ProjectError when the image's Ruby is not the base's."""
    reference = project.settings.build.image
    if not reference:
        return Bench(target, target.base)
    image = pinned.base(pins, reference, target.platform)
    facts, wanted = image.facts, target.base.facts
    there, here = (each.interpreter_version.rpartition(".")[0] for each in (facts, wanted))
    if there != here or facts.libc != wanted.libc:
        told = [f"Ruby {each.interpreter_version or 'none'} on {each.libc}" for each in (facts, wanted)]
        raise ProjectError(
            f"gems built in {reference} ({told[0]}) do not fit {target.base.reference} ({told[1]})",
            "set build.image to one with the base's Ruby and libc",
        )
    return Bench(target, image)


def built(place: Bench, parts: Mapping[str, Part]) -> dict[str, Built]:
    """What each gem with extensions becomes, by full name; built now, all in one container, or by an earlier run.

    `parts` are the target's gems by full name. Raises ResolveError, with the output, when a build fails or the
    platform does not run here.
    """
    wanted = {name: _key(place, part, parts) for name, part in parts.items() if part.builds}
    found = {name: known for name, key in wanted.items() if (known := _known(key)) is not None}
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        hint = "lock versions that have gems for that platform, package where it runs, or leave the platform out"
        container.demand_here(place.image.platform, f"{', '.join(missing)}: to be built on", hint)
        with progress.step(f"building {', '.join(missing)} in {place.image.reference}"):
            for name, made in _run(place, missing, parts, found).items():
                memo.save(wanted[name], made)
                found[name] = made
    return found


def _known(key: str) -> Built | None:
    known = memo.load(key, Built)
    return known if known and store.checked(KIND, known.sha256) else None


def _key(place: Bench, part: Part, parts: Mapping[str, Part]) -> str:
    below = [each.sha256 for each in _needed([part], parts)]
    return memo.key("native gem", _REVISION, _PROGRAM, place.key, part.choice.spec.full, part.sha256, *sorted(below))


def _needed(of: Iterable[Part], parts: Mapping[str, Part]) -> list[Part]:
    """The gems that these need, and those that they need, themselves left out."""
    by_name = {part.choice.spec.name: part for part in parts.values()}
    start = [part.choice.spec.name for part in of]
    found: dict[str, Part] = {}
    waiting = [name for part in of for name in part.choice.spec.requires]
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in found:
            found[name] = by_name[name]
            waiting += by_name[name].choice.spec.requires
    return [found[name] for name in sorted(found) if name not in start]


def _run(
    place: Bench, missing: Sequence[str], parts: Mapping[str, Part], before: Mapping[str, Built]
) -> dict[str, Built]:
    levels = _levels(missing, parts)
    ran = container.run(
        place.image,
        ["ruby", "-e", _PROGRAM, place.target.home, container.OUT, *(",".join(each) for each in levels)],
        *_laid(place, missing, parts, before),
        folder="/build",
        env={"BUNDLE_APP_CONFIG": "/build"},
    )
    if ran.code:
        hint = "set build.image to an image that has the compiler and libraries it needs"
        raise ResolveError(f"{', '.join(missing)} cannot be built in {place.image.reference}", hint, ran.output)
    return _recorded(ran.taken, missing)


def _levels(missing: Sequence[str], parts: Mapping[str, Part]) -> list[list[str]]:
    """The gems in the order in which they can be built, those that wait for none of the others first."""
    left, levels = set(missing), list[list[str]]()
    below = {name: {each.choice.spec.full for each in _needed([parts[name]], parts)} for name in missing}
    while left:
        ready = sorted(name for name in left if not below[name] & left) or sorted(left)
        levels.append(ready)
        left -= set(ready)
    return levels


def _laid(
    place: Bench, missing: Sequence[str], parts: Mapping[str, Part], before: Mapping[str, Built]
) -> tuple[list[Entry], dict[str, Content]]:
    """The gems to be built as files, and those that they need as if they were installed."""
    entries: list[Entry] = []
    held: dict[str, Content] = {}
    for name in missing:
        part = parts[name]
        held |= {f"{name}.gem": archive(part)}
        held |= {f"known/{name}": bytes_of.of_bytes("".join(f"{each}\n" for each in part.reading.files).encode())}
        entries += [Place(f"{name}.gem", f"{_GEMS}/{name}.gem"), Place(f"known/{name}", f"{_KNOWN}/{name}")]
    for part in _needed([parts[name] for name in missing], parts):
        name = part.choice.spec.full
        if name not in missing and part.choice.kind == "gem":
            entries += installed(part, place.target, before.get(name), held)
    return entries, held


def installed(part: Part, target: Target, made: Built | None, held: dict[str, Content]) -> list[Entry]:
    """A gem as it stands once it is installed: its files, its description, what was built of it."""
    name = part.choice.spec.full
    held |= {f"{name}.gem": archive(part)}
    held |= {f"{name}.gemspec": bytes_of.of_bytes(part.reading.spec.text.encode())}
    entries: list[Entry] = [
        Unpack(f"{name}.gem", f"{target.home}/gems/{name}"),
        Place(f"{name}.gemspec", f"{target.home}/specifications/{name}.gemspec"),
    ]
    if made is not None:
        held |= {f"{name}.tar": bytes_of.of_file(made.path, made.sha256)}
        entries.append(Unpack(f"{name}.tar", target.home))
    return entries


def archive(part: Part) -> Content:
    """A gem's bytes as a layer reads them."""
    return bytes_of.of_file(part.path, part.sha256)


def _recorded(taken: bytes, missing: Sequence[str]) -> dict[str, Built]:
    """What each build made, as an archive whose bytes hang on that alone."""
    import tarfile

    files: dict[str, dict[str, tuple[bytes, bool]]] = {name: {} for name in missing}
    failure = "what building gems left cannot be taken"
    with tree.sound(failure, "lock another version"), tarfile.open(fileobj=io.BytesIO(taken)) as archive:
        for member in archive:
            path = member.name.partition("/")[2]
            owner = (_OWNER.match(path) or ("", ""))[1]
            if member.isfile() and owner in files and not _LEFT.fullmatch(path):
                opened: Any = archive.extractfile(member)
                files[owner][path] = (opened.read(), bool(member.mode & 0o100))
    return {name: _kept(found) for name, found in files.items()}


def _kept(files: Mapping[str, tuple[bytes, bool]]) -> Built:
    def chunks() -> Iterable[bytes]:
        for path, (data, executable) in sorted(files.items()):
            yield tarform.encode(Header(path, "file", 0o755 if executable else 0o644, len(data)))
            yield data + tarform.padding(len(data))
        yield tarform.END

    native = {path: elf.of_bytes(data, package.entrance(path)) for path, (data, _) in files.items()}
    sha256, _ = store.put(KIND, chunks())
    return Built(sha256, tuple(sorted(files)), {path: each for path, each in sorted(native.items()) if each})
