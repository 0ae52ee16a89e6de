"""Whether Gemfile and Gemfile.lock agree, as far as a Gemfile can be judged without Ruby."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cdaf.languages._ruby import lockfile, numbers
from cdaf.languages._ruby.gemfile import Gemfile
from cdaf.languages._ruby.values import Locked

_BY_RUBY = ("bundler", "ruby")  # what locks name though no source has it
_DEVELOPMENT = re.compile(r"""\.add_development_dependency[\s(]+["']([A-Za-z0-9._-]+)["']""")


def faults(gemfile: Gemfile, locked: Locked, folder: Path) -> Iterator[str]:
    """Every fault that is sure, and of the lock alone those that no Bundler would have written."""
    dependencies = {each.name: each for each in locked.dependencies}
    for entry in gemfile.entries:
        known = dependencies.get(entry.name)
        if known is None:
            if entry.judged:
                yield f"Gemfile line {entry.line}: {entry.name} is not in the lock"
            continue
        asked = tuple(sorted(filter(None, map(numbers.normal, entry.requirements))))
        of_lock = tuple(sorted(each for each in known.requirements if each != ">= 0"))
        if entry.judged and asked not in (of_lock, known.requirements):
            yield f"Gemfile line {entry.line}: {entry.name} ({_shown(asked)}), and the lock has ({_shown(of_lock)})"
    if not gemfile.unjudged:
        named = {entry.name for entry in gemfile.entries} | _of_gemspecs(gemfile, locked, folder)
        for name in sorted(dependencies.keys() - named):
            yield f"{name} is in the lock, and not in the Gemfile"
        yield from _sources(gemfile, locked)
        if locked.ruby and not gemfile.ruby:
            yield f"the lock says {locked.ruby}, and the Gemfile asks for no Ruby: Bundler does not start with that"
    yield from _incomplete(locked)


def _sources(gemfile: Gemfile, locked: Locked) -> Iterator[str]:
    """Indexes of the lock that the Gemfile does not name: Bundler would not start with such a pair."""
    named = {lockfile.clean(each) for each in gemfile.sources}
    for source in locked.sources if "rubygems" not in named else ():
        for remote in source.remotes if source.kind == "gem" else ():
            if lockfile.clean(remote) not in named:
                yield f"the lock takes gems from {lockfile.clean(remote)}, and the Gemfile does not name it as a source"


def _shown(requirements: tuple[str, ...]) -> str:
    return ", ".join(requirements) or "any"


def _of_gemspecs(gemfile: Gemfile, locked: Locked, folder: Path) -> set[str]:
    """What a `gemspec` line brings: the gem itself and what its development needs."""
    if not gemfile.specs:
        return set()
    own = {spec.name for source in locked.sources if source.kind == "path" for spec in source.specs}
    return own | development(folder)


def development(folder: Path) -> set[str]:
    """The names that gemspecs in a folder say their development needs."""
    texts = (each.read_text(errors="replace") for each in sorted(folder.glob("*.gemspec")))
    return {name for text in texts for name in _DEVELOPMENT.findall(text)}


def _incomplete(locked: Locked) -> Iterator[str]:
    names = {spec.name for source in locked.sources for spec in source.specs}
    versions = {spec.name: spec.version for source in locked.sources for spec in source.specs}
    for each in locked.dependencies:
        if each.name not in names and each.name not in _BY_RUBY:
            yield f"the lock asks for {each.name}, and no section has it"
        elif each.name in versions and not numbers.satisfies(versions[each.name], each.requirements):
            yield f"the lock has {each.name} {versions[each.name]}, and asks for ({_shown(each.requirements)})"
    for source in locked.sources:
        for spec in source.specs:
            for name in spec.requires:
                if name not in names and name not in _BY_RUBY:
                    yield f"{spec.name} {spec.number} needs {name}, and no section of the lock has it"
