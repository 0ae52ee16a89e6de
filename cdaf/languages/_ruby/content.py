"""What an installed gem is made of, as entries of a plan: its files, its description, its commands, what was built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cdaf import progress
from cdaf.images.content import Content, of_file
from cdaf.images.plan import Entry, Place, Unpack
from cdaf.languages._ruby import source
from cdaf.languages._ruby.gemspec import dump
from cdaf.languages._ruby.native import Built, Part
from cdaf.languages._ruby.values import Target
from cdaf.languages._shared import frame
from cdaf.languages._shared.frame import Generated

# What RubyGems writes: it activates the gem, or has Bundler find it, and runs the gem's own program.
_COMMAND = """\
#!/usr/bin/env {program}
# Starts {command} of the gem {gem}.
require "rubygems"

load Gem.activate_bin_path({gem}, {command}, ">= 0.a")
"""


class Spread(msgspec.Struct, frozen=True):
    """A gem to be laid out; `skip` are its files that are left out, `built` what its build added.

    `first` is false where another gem of the same repository lays that out.
    """

    part: Part
    built: Built | None = None
    skip: tuple[str, ...] = ()
    skip_built: tuple[str, ...] = ()
    first: bool = True
    specs: dict[str, str] = {}  # gemspecs of a git or path gem that are laid out as data

    @property
    def name(self) -> str:
        """Its full name, which its folder has."""
        return self.part.choice.spec.full

    @property
    def size(self) -> int:
        """Of its archive, in bytes."""
        return self.part.path.stat().st_size


def commands(spread: Sequence[Spread]) -> dict[str, str]:
    """Each command's gem, by full name: of several the one that is called so, else the first by name."""
    found: dict[str, str] = {}
    for each in spread:
        for command in each.part.reading.spec.executables:
            known = found.setdefault(command, each.name)
            if known == each.name:
                continue
            if each.part.choice.spec.name == command:
                found[command] = each.name
            progress.note(f"the command {command} is in {known} and in {each.name}: {found[command]} has it")
    return found


def entries(
    each: Spread, target: Target, owners: Mapping[str, str], generated: Generated, kept: dict[str, Content]
) -> list[Entry]:
    """How the plan lays out one gem."""
    spec, full = each.part.reading.spec, each.name
    variant = f"{target.platform.replace('/', '-')}{'-smoke' if target.smoke else ''}"
    found: list[Entry] = []
    if each.part.tree is None:
        member = frame.generate(generated, f"{full}/{full}.gemspec", spec.text.encode(), variant)
        found.append(Unpack(each.part.archive, f"{target.home}/gems/{full}", skip=each.skip))
        found.append(Place(member, f"{target.home}/specifications/{full}.gemspec"))
    elif each.first:
        found += _source(each, target, generated, variant)
    for command in spec.executables:
        if owners.get(command) == full:
            text = _COMMAND.format(program=target.program, command=dump(command, ""), gem=dump(spec.name, ""))
            member = frame.generate(generated, f"{full}/bin/{command}", text.encode(), variant)
            found.append(Place(member, f"{target.home}/bin/{command}", 0o755))
    if each.built is not None:
        found.append(Unpack(_keep(kept, each, each.built, variant), target.home, skip=each.skip_built))
    return found


def _source(each: Spread, target: Target, generated: Generated, variant: str) -> list[Entry]:
    """A git or path gem where Bundler looks for it."""
    below, stem = source.place(each.part.choice, target), source.stem(each.part.choice)
    found: list[Entry] = [Unpack(each.part.archive, below, skip=tuple(sorted({*each.skip, *each.specs})))]
    for name, text in sorted(each.specs.items()):
        found.append(Place(frame.generate(generated, f"{stem}/{name}", text.encode(), variant), f"{below}/{name}"))
    return found


def first_of_archives(spread: Sequence[Spread]) -> list[Spread]:
    """The same gems; of those that share a repository only the first lays it out."""
    seen: set[str] = set()
    found = []
    for each in spread:
        found.append(msgspec.structs.replace(each, first=each.part.archive not in seen))
        seen.add(each.part.archive)
    return found


def _keep(kept: dict[str, Content], each: Spread, built: Built, variant: str) -> str:
    """The name in the bundle of what a build added."""
    member = f"generated/{each.name}/{variant}.tar"
    kept.setdefault(member, of_file(built.path, built.sha256))
    return member
