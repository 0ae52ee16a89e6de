"""The Python language's last act: what stands where in the image and in the checks' layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cdaf import languages
from cdaf.images.content import Content, of_bytes, of_file
from cdaf.images.plan import Entry, ImagePlan, Place, Plans, SmokePlan
from cdaf.languages._python import audit, bytecode, content, exclude, resolve, venv
from cdaf.languages._python.content import Spread
from cdaf.languages._python.values import VENV, Choice, Target
from cdaf.languages._shared import exclude as shared
from cdaf.languages._shared import frame
from cdaf.languages._shared.frame import Generated
from cdaf.projects.project import Project

_PROBE = (
    f"{VENV}/bin/python",
    "-I",
    "-c",
    "import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=4)",
)


def plan(project: Project, collection: languages.Collection) -> languages.Planned:
    """Lay out every platform. Raises ResolveError when two packages want one path."""
    choices = resolve.of(collection.lock)
    generated: Generated = {}
    targets = resolve.targets(project, collection.lock.pins)
    made = _made(project, collection, generated)
    images: list[ImagePlan] = []
    smoke: list[SmokePlan] = []
    laid: list[tuple[Target, list[Spread]]] = []
    checks: list[tuple[Target, list[Spread], list[Spread]]] = []
    used: set[str] = set()
    for target in targets:
        if target.smoke:
            checks.append((target, _checked(project, collection, choices, target), []))
            smoke.append(_checks(project, *checks[-1], generated))
            continue
        chosen = [choice for choice in choices if target.platform in choice.main]
        spread = content.spreads(project.root, chosen, collection.archives, target)
        spread = exclude.apply(spread, project.settings.image.exclude, target, used)
        laid.append((target, spread))
        images.append(_image(project, target, spread, made, generated))
        if project.settings.smoke.checks and not project.settings.smoke.image:
            checks.append((target, _checked(project, collection, choices, target), spread))
            smoke.append(_checks(project, *checks[-1], generated))
    shared.tell_idle(project.settings.image.exclude, used)
    audit.demand(project, laid, checks, made, generated, frame.FOLDER)
    kept: dict[str, Content] = {}
    if project.settings.image.bytecode:
        contents = _contents(project, collection, generated)
        images, kept = bytecode.add(images, [target for target, _ in laid], contents)
    return languages.Planned(Plans(1, tuple(images), tuple(smoke)), generated, kept)


def _contents(project: Project, collection: languages.Collection, generated: Generated) -> dict[str, Content]:
    """What the layers hold of archives and of sources."""
    found = {each.dependency.archive: of_file(each.path, each.dependency.sha256) for each in collection.archives}
    found |= {f"app/{each.name}": of_file(each.path) for each in project.files if bytecode.compiles(each.name)}
    return found | {name: of_bytes(data) for name, data in generated.items() if bytecode.compiles(name)}


def _made(project: Project, collection: languages.Collection, generated: Generated) -> dict[str, Place]:
    if not project.settings.build.run:
        return {}
    from cdaf.languages._python import workshop
    from cdaf.languages._shared import commands

    return commands.places(workshop.outputs(project, collection.lock.pins), generated)


def _image(
    project: Project, target: Target, spread: Sequence[Spread], made: Mapping[str, Place], generated: Generated
) -> ImagePlan:
    again = content.repeated(spread, (), target)
    packages = {each.choice.name: each for each in spread if not each.own}
    own = [each for each in spread if each.own]

    def entries(name: str) -> list[Entry]:
        return content.entries(packages[name], target, again, generated)

    layers = [
        frame.user_layer(project, target.base, generated, content.skeleton(target, generated)),
        *frame.package_layers({name: each.size for name, each in packages.items()}, entries),
        frame.service_layer(
            project, (entry for each in own for entry in content.entries(each, target, again, generated)), made
        ),
    ]
    return frame.image(project, target.base, layers, _environment(target), _PROBE)


def _checked(
    project: Project, collection: languages.Collection, choices: Sequence[Choice], target: Target
) -> list[Spread]:
    """The checks' own packages."""
    chosen = [choice for choice in choices if target.platform in choice.smoke]
    return content.spreads(project.root, chosen, collection.archives, target)


def _checks(
    project: Project, target: Target, spread: Sequence[Spread], before: Sequence[Spread], generated: Generated
) -> SmokePlan:
    """The checks' layers on top of the image, or whole on a base of their own."""
    again = content.repeated(spread, before, target)
    entries = [entry for each in spread for entry in content.entries(each, target, again, generated)]
    skeleton = content.skeleton(target, generated) if target.smoke else ()
    return frame.checks(project, target.base, (*skeleton, *entries), _environment(target), alone=target.smoke)


def _environment(target: Target) -> dict[str, str]:
    return {"PATH": venv.search_path(target), "PYTHONUNBUFFERED": "1", "VIRTUAL_ENV": VENV}
