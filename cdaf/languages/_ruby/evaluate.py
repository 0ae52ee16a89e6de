"""Gemspecs that ask git: evaluated once, in the build image, and laid out as the data that they come to."""

from __future__ import annotations

import msgspec

from cdaf import progress
from cdaf.errors import ResolveError
from cdaf.images import content as bytes_of
from cdaf.images.plan import Dir, Entry, Place, Unpack
from cdaf.languages._ruby import source
from cdaf.languages._ruby.native import Bench
from cdaf.languages._ruby.source import Tree
from cdaf.languages._shared import container, memo, tree

_SOURCE = "/build/source"
# Answers `git ls-files` by the list of what is tracked, below the current folder and the paths that are named.
_GIT = b"""\
#!/usr/bin/env ruby
exit 1 unless ARGV.include?("ls-files")
paths = ARGV.drop_while { |each| each != "ls-files" }.drop(1).reject { |each| each.start_with?("-") }
here = Dir.pwd.delete_prefix("/build/source").delete_prefix("/")
here += "/" unless here.empty?
names = File.readlines("/build/tracked", chomp: true).select { |each| each.start_with?(here) }
names.map! { |each| each.delete_prefix(here) }
names.select! { |each| paths.any? { |path| each == path || each.start_with?(path.chomp("/") + "/") } } if paths.any?
ending = ARGV.include?("-z") ? "\\0" : "\\n"
print(*names.map { |each| each + ending })
"""
_PROGRAM = """
require "fileutils"
ENV["PATH"] = "/build/bin:" + ENV["PATH"]
ARGV.each do |name|
  Dir.chdir(File.dirname("/build/source/" + name))
  spec = Gem::Specification.load(File.basename(name)) or exit 1
  FileUtils.mkdir_p(File.dirname("/build/out/" + name))
  File.binwrite("/build/out/" + name, spec.to_ruby)
end
"""


class Answer(msgspec.Struct, frozen=True):
    """Gemspecs as data, by name."""

    specs: dict[str, str]


def specs(label: str, found: Tree, place: Bench) -> dict[str, str]:
    """What takes the place of the gemspecs that ask git. Raises ResolveError when they cannot be evaluated."""
    names = source.asks_git(found)
    if not names:
        return {}
    key = memo.key("gemspecs", _PROGRAM, _GIT, found.sha256, place.image.digest)
    known = memo.load(key, Answer)
    if known is None:
        with progress.step(f"evaluating the gemspec of {label}"):
            known = Answer(_run(label, found, names, place))
        memo.save(key, known)
    return known.specs


def _run(label: str, found: Tree, names: list[str], place: Bench) -> dict[str, str]:
    what = f"{label}: {names[0]} asks git for its files, and would be evaluated on"
    container.demand_here(place.image.platform, what, "name the files in the gemspec, or package where it runs")
    held = {
        "source": bytes_of.of_file(found.path, found.sha256),
        "git": bytes_of.of_bytes(_GIT),
        "tracked": bytes_of.of_bytes("".join(f"{name}\n" for name in found.files).encode()),
    }
    entries: list[Entry] = [
        Unpack("source", _SOURCE),
        Place("git", "/build/bin/git", 0o755),
        Place("tracked", "/build/tracked"),
        Dir(_SOURCE),
    ]
    command, env = ["ruby", "-e", _PROGRAM, *names], {"BUNDLE_APP_CONFIG": "/build"}
    ran = container.run(place.image, command, entries, held, folder="/build", env=env)
    if ran.code:
        raise ResolveError(
            f"{label}: {', '.join(names)} cannot be evaluated in {place.image.reference}",
            "mend the gemspec",
            ran.output,
        )
    return _read(label, ran.taken)


def _read(label: str, taken: bytes) -> dict[str, str]:
    failure = f"{label}: what its gemspecs came to cannot be taken"
    with tree.taken(taken, container.OUT, failure, "mend the gemspec") as found:
        return {name: path.read_text(encoding="utf-8", errors="replace") for name, path in found}
