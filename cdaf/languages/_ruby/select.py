"""Which gems each environment holds: from the groups that it has, through what gems need, to each gem's form there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from cdaf.errors import ResolveError, faults
from cdaf.languages._ruby import gemfile, platforms
from cdaf.languages._ruby.gemfile import DEFAULT, Gemfile
from cdaf.languages._ruby.values import Choice, Locked, Source, Spec, Target

APART = ("development", "test")  # groups that no image has, unless it is said
_BY_RUBY = ("bundler",)


class Place(NamedTuple):
    """A gem's forms and the section they come from."""

    source: Source
    specs: tuple[Spec, ...]


def places(locked: Locked) -> dict[str, Place]:
    """Every gem of the lock by name."""
    found: dict[str, Place] = {}
    for source in locked.sources:
        for spec in source.specs:
            known = found.get(spec.name, Place(source, ()))
            found[spec.name] = Place(known.source, (*known.specs, spec))
    return found


def left_out(asked: Gemfile, groups: Iterable[str], smoke: str | None) -> tuple[str, ...]:
    """The Gemfile's groups that the image lacks: those of development and of the checks, and optional ones."""
    declared = {name for entry in asked.entries for name in entry.groups} | set(asked.optional)
    apart = {*APART, *asked.optional, *([smoke] if smoke else [])}
    return tuple(sorted((declared & apart) - set(groups)))


def roots(asked: Gemfile, locked: Locked, without: Iterable[str], ruby: str, developed: Iterable[str]) -> list[str]:
    """The gems that are asked for by groups other than those; `developed` are asked for by gemspecs' development."""
    absent, named = set(without), dict[str, bool]()
    for entry in asked.entries:
        wanted = bool(set(entry.groups) - absent) and gemfile.fits(entry.platforms, ruby)
        named[entry.name] = named.get(entry.name, False) or wanted
    for name in developed:
        named.setdefault(name, "development" not in absent)
    return [each.name for each in locked.dependencies if named.get(each.name, True)]


def closure(
    names: Iterable[str], known: Mapping[str, Place], target: Target, forced: Sequence[str], wrong: list[str]
) -> dict[str, Spec]:
    """Each gem's form for a target, and those of all that it needs; what has none is told in `wrong`."""
    here = platforms.local(target)
    found: dict[str, Spec] = {}
    waiting = [each for each in names if each not in _BY_RUBY]
    while waiting:
        name = waiting.pop()
        if name in found or name not in known:
            continue
        spec = platforms.choose(known[name].specs, here, ruby=name in forced)
        if spec is None:
            there = ", ".join(each.platform for each in known[name].specs)
            wrong.append(f"{name} {known[name].specs[0].version} is locked for {there}, and not for {here.name}")
            continue
        found[name] = spec
        waiting += [each for each in spec.requires if each not in _BY_RUBY]
    return found


def choices(
    locked: Locked, asked: Gemfile, targets: Sequence[Target], apart: Mapping[str, Sequence[str]], developed: set[str]
) -> tuple[Choice, ...]:
    """What the lock names, for every target.

    `apart` are the groups left out of `main`, the image, and of `smoke`, the checks' environment where there is one.
    Raises ResolveError with every gem that has no form for a platform.
    """
    known, wrong = places(locked), list[str]()
    found: dict[str, Choice] = {}
    for target in targets:
        for use, without in apart.items():
            if target.smoke and use == "main":
                continue
            names = roots(asked, locked, without, target.base.facts.interpreter_version, developed)
            for name, spec in closure(names, known, target, asked.forced, wrong).items():
                held = found.setdefault(spec.full, choice(known[name].source, spec, locked))
                own = tuple(sorted({*getattr(held, use), target.platform}))
                found[spec.full] = msgspec.structs.replace(held, **{use: own})
    if wrong:
        first = platforms.local(targets[0]).name
        raise ResolveError(
            faults("Gemfile.lock", list(dict.fromkeys(wrong))),
            f"run `bundle lock --add-platform {first}`, or lock versions that are built for it",
        )
    return tuple(found[name] for name in sorted(found))


def choice(source: Source, spec: Spec, locked: Locked) -> Choice:
    """A gem of a section of the lock."""
    return Choice(
        spec=spec,
        kind=source.kind,
        remote=source.remotes[-1] if source.remotes else "",
        hash=locked.checksums.get(spec.full, "") if source.kind == "gem" else "",
        revision=source.revision,
        glob=source.glob,
    )


def declared(asked: Gemfile) -> set[str]:
    """The groups that the Gemfile is seen to declare."""
    return {name for entry in asked.entries for name in entry.groups} - {DEFAULT}
