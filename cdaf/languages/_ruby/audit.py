"""The native files of an image: gems' extensions, built here or elsewhere, and what is the service's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cdaf.bases.audit import File
from cdaf.bases.elf import Elf
from cdaf.images.plan import Place
from cdaf.languages._ruby import package, source
from cdaf.languages._ruby.content import Spread
from cdaf.languages._ruby.values import RUBY, Target
from cdaf.languages._shared import audit, frame
from cdaf.languages._shared.frame import Generated
from cdaf.projects.project import Project


def demand(
    project: Project,
    laid: Sequence[tuple[Target, Sequence[Spread]]],
    checks: Sequence[tuple[Target, Sequence[Spread], Sequence[Spread]]],
    made: Mapping[str, Place],
    generated: Generated,
) -> None:
    """Hold the native files of all images and of their checks against their bases. Raises ResolveError, ProjectError.

    `checks` are gems, and those of the image that they stand on.
    """
    own = audit.own(project, made, generated, package.entrance)
    found = [audit.Laid(target.base, [*_gems(spread, target), *_own(own)]) for target, spread in laid]
    for target, spread, before in checks:
        below = [] if target.smoke else [*_gems(before, target), *_own(own)]
        found.append(audit.Laid(target.base, [*_gems(spread, target)], below, checks=True))
    audit.demand(project, found)


def _gems(spread: Sequence[Spread], target: Target) -> Iterator[File]:
    for each in spread:
        label = f"{each.part.choice.spec.name} {each.part.choice.spec.number}"
        roots = tuple(f"{path}/" for path in each.part.reading.spec.require_paths)
        portable = each.part.choice.spec.platform != RUBY
        for path, found in each.part.reading.native.items():
            if path not in each.skip:
                name = f"{each.name}/{path}"
                loaded = found.marked and path.startswith(roots) and _fits(path, target)
                below = source.place(each.part.choice, target) if each.part.tree else f"{target.home}/gems/{each.name}"
                yield File(f"{below}/{path}", name, label, found, loaded, True, portable)
        built = each.built.native if each.built else {}
        for path, found in built.items():
            if each.built and path not in each.skip_built:
                name = path.removeprefix("gems/")
                yield File(f"{target.home}/{path}", name, label, found, found.marked, True, False)


def _fits(path: str, target: Target) -> bool:
    """Platform gems hold an extension for each version of Ruby, in a folder of its name: one of them is loaded."""
    short = target.abi.rpartition(".")[0]
    versions = [part for part in path.split("/")[:-1] if part.replace(".", "").isdecimal() and "." in part]
    return not versions or short in versions


def _own(own: Mapping[str, Elf]) -> Iterator[File]:
    for name, found in own.items():
        yield File(f"{frame.FOLDER}/{name}", name, audit.SERVICE, found, found.marked)
