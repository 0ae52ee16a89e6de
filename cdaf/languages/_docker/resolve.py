"""Reading what a service is built from: its Dockerfile, its context, and the images that it builds on, by digest."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cdaf import languages
from cdaf.errors import ProjectError, faults
from cdaf.languages._docker import context, dockerfile, images, rules, stages
from cdaf.languages._docker.context import Context
from cdaf.languages._docker.dockerfile import Dockerfile, Stage
from cdaf.net import http
from cdaf.projects import steady
from cdaf.projects.pins import Pins
from cdaf.projects.project import Project
from cdaf.projects.sealing import redacted

_HINT = "mend each of them; docs/dockerfile.md tells what a Dockerfile service may say"


class Recipe(msgspec.Struct, frozen=True):
    """What is built, read whole: `digests` are those of the images, by their names as the Dockerfile has them.

    `identity` is the context's, once and for all: what is written to its files later is another one's.
    """

    source: Dockerfile
    stage: Stage
    context: Context
    digests: dict[str, str]
    identity: str = ""


def check(project: Project) -> list[str]:
    """All faults of settings, Dockerfile and context."""
    return _examine(project)[1]


def resolve(project: Project, pinned: Pins) -> languages.Lock:
    """Read all of it. Raises ProjectError with everything that is wrong, or that cdaf.lock does not pin."""
    recipe, wrong = _examine(project)
    if recipe is None or wrong:
        raise ProjectError(faults(project.name, wrong), _HINT)
    digests = images.pinned(project, recipe.source, recipe.stage, pinned)
    recipe = msgspec.structs.replace(recipe, digests=digests, identity=recipe.context.identity)
    data = _file(recipe.context).read_bytes()
    if dockerfile.parse(data, project.settings.docker.file) != recipe.source:
        raise steady.changed(project.settings.docker.file)
    return languages.Lock((recipe,), {"Dockerfile": redacted(data)}, {}, pinned, recipe.context.inputs)


def _examine(project: Project) -> tuple[Recipe | None, list[str]]:
    wrong = list(rules.broken(project))
    gathered = context.gather(project, wrong)
    if not gathered.beside:
        return None, wrong
    try:
        source = dockerfile.parse(_file(gathered).read_bytes(), project.settings.docker.file)
    except ProjectError as error:
        return None, [*wrong, error.message]
    wrong += rules.untaken(project.settings.docker, source)
    wanted = stages.target(source, project.settings.docker.target)
    if wanted is None:
        there = ", ".join(each.name or str(each.number) for each in source.stages)
        name = project.settings.docker.target
        return None, [*wrong, f"docker.target: {project.settings.docker.file} has no stage {name}, only {there}"]
    return Recipe(source, wanted, gathered, {}), [*wrong, *_fetched(project, source, wanted)]


def _fetched(project: Project, source: Dockerfile, wanted: Stage) -> list[str]:
    """What a build without network would fetch all the same: ADD runs nowhere, so nothing keeps it from that."""
    if project.settings.docker.network:
        return []
    needed = (images.of_platform(project, source, wanted, each) for each in project.settings.image.platforms)
    urls = dict.fromkeys(url for each in needed for url in each.fetched)
    return [f"docker.network: it is false, and {project.settings.docker.file} adds {http.clean(url)}" for url in urls]


def _file(of: Context) -> Path:
    return of.beside[0].path
