"""Ruby's second act: everything the lock names in the store, extensions built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from cdaf import languages
from cdaf.bundles.manifest import Dependency
from cdaf.errors import ResolveError, faults
from cdaf.languages._ruby import native, numbers, obtain, package, platforms, resolve, source
from cdaf.languages._ruby.gemspec import Gemspec
from cdaf.languages._ruby.native import Bench, Part
from cdaf.languages._ruby.package import Reading
from cdaf.languages._ruby.source import Tree
from cdaf.languages._ruby.values import RUBY, Choice, Spec, Target
from cdaf.net import fetch
from cdaf.projects.project import Project


def collect(project: Project, lock: languages.Lock) -> languages.Collection:
    """Fetch and build. Raises ResolveError when something cannot be had."""
    choices = resolve.of(lock)
    goals = resolve.targets(project, lock.pins)
    parts = obtained(project, choices, goals)
    for target in goals:
        own, place = of_target(parts, target), native.bench(project, lock.pins, target)
        native.built(place, own)
        for part in own.values():
            evaluated(part, place)
    if project.settings.build.run:
        from cdaf.languages._ruby import workshop

        workshop.outputs(project, lock.pins)
    archives = [_archive(part) for part in parts.values()]
    return languages.Collection(lock, tuple(archives))


def obtained(project: Project, choices: Sequence[Choice], goals: Sequence[Target]) -> dict[str, Part]:
    """The gems of these choices, fetched and read, by full name."""
    labels = {f"{each.spec.name} {each.spec.number}": each for each in choices}

    def arrived(got: fetch.Got) -> None:
        package.read(got.path, got.sha256, got.want.name)

    got = obtain.gems(project, choices, arrived)
    read, parts = resolve.read(project), {}
    for label, choice in labels.items():
        if choice.kind == "gem":
            one = got[choice.spec.full]
            parts[choice.spec.full] = Part(choice, one.path, one.sha256, package.read(one.path, one.sha256, label))
        else:
            parts[choice.spec.full] = _sourced(choice, source.of(project, read, choice))
    _demand_fit(parts, goals)
    return parts


def held(project: Project, collection: languages.Collection) -> dict[str, Part]:
    """The parts again, of what was collected."""
    archives = {each.dependency.archive: each for each in collection.archives}
    read, parts = resolve.read(project), {}
    for choice in resolve.of(collection.lock):
        if choice.kind == "gem":
            one, label = archives[f"deps/{choice.filename}"], f"{choice.spec.name} {choice.spec.number}"
            sha256 = one.dependency.sha256
            parts[choice.spec.full] = Part(choice, one.path, sha256, package.read(one.path, sha256, label))
        else:
            parts[choice.spec.full] = _sourced(choice, source.of(project, read, choice))
    return parts


def _sourced(choice: Choice, tree: Tree) -> Part:
    spec = Gemspec(choice.spec.name, choice.spec.version, RUBY, "", executables=source.commands(tree))
    return Part(choice, tree.path, tree.sha256, Reading(spec, tree.files, tree.native), tree)


def evaluated(part: Part, place: Bench) -> dict[str, str]:
    """The gemspecs of a git or path gem that are laid out as data, by name."""
    if part.tree is None:
        return {}
    from cdaf.languages._ruby import evaluate

    return evaluate.specs(part.choice.spec.name, part.tree, place)


def of_target(parts: Mapping[str, Part], target: Target) -> dict[str, Part]:
    """The gems that a target holds, of each the form for it: the checks' own base may want another than the image's."""
    there = [
        part
        for part in parts.values()
        if target.platform in (part.choice.smoke if target.smoke else part.choice.platforms)
    ]
    forms: dict[str, list[Spec]] = {}
    for part in there:
        forms.setdefault(part.choice.spec.name, []).append(part.choice.spec)
    here = platforms.local(target)
    chosen = {name: platforms.choose(specs, here) for name, specs in forms.items()}
    return {part.choice.spec.full: part for part in there if chosen[part.choice.spec.name] == part.choice.spec}


def _demand_fit(parts: Mapping[str, Part], goals: Sequence[Target]) -> None:
    """A gem is the one that the lock names, for the Ruby that the base has."""
    wrong = []
    for name, part in parts.items():
        told, spec = part.reading.spec, part.choice.spec
        if (told.name, told.version, told.platform) != (spec.name, spec.version, spec.platform):
            wrong.append(f"{name}: the archive says that it is {told.name} {told.version} for {told.platform}")
        for target in goals:
            version = target.base.facts.interpreter_version
            if target.platform in part.choice.platforms and not numbers.satisfies(version, told.ruby):
                wrong.append(f"{name} wants Ruby {', '.join(told.ruby)}, and {target.base.reference} has {version}")
    if wrong:
        raise ResolveError(faults("gems", list(dict.fromkeys(wrong))), "lock other versions, or choose another base")


def _archive(part: Part) -> languages.Archive:
    choice, spec = part.choice, part.choice.spec
    return languages.Archive(
        part.path,
        Dependency(
            name=spec.name,
            version=spec.version,
            purl=purl(spec.name, spec.version, spec.platform),
            archive=part.archive,
            sha256=part.sha256,
            platforms=choice.platforms,
            group="main" if choice.main else "smoke",
            url=obtain.public(choice.remote, spec) if part.tree is None else None,
            hash=choice.hash or None,
            built_from=source.origin(choice) if part.tree else None,
            license=part.reading.spec.license or None,
            requires=spec.requires,
        ),
    )


def purl(name: str, version: str, platform: str) -> str:
    """A gem's package URL (purl-spec, type gem)."""
    qualified = "" if platform == RUBY else f"?platform={quote(platform, safe='')}"
    return f"pkg:gem/{quote(name, safe='')}@{quote(version, safe='')}{qualified}"


def again(project: Project, choices: Sequence[Choice], target: Target) -> dict[str, Part]:
    """The gems of other choices than the lock's, such as a developer's, for one target."""
    own = [msgspec.structs.replace(each, main=(target.platform,)) for each in choices]
    return obtained(project, own, (target,))
