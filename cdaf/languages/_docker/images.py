"""The images that a Dockerfile builds on, by digest in cdaf.lock, so that every build takes the same ones."""

from __future__ import annotations

from collections.abc import Sequence

from cdaf import progress
from cdaf.errors import ProjectError, ResolveError, faults
from cdaf.languages._docker import dockerfile, rules, stages
from cdaf.languages._docker.context import IMAGE
from cdaf.languages._docker.dockerfile import Dockerfile, Stage
from cdaf.net import transfers
from cdaf.projects import pins
from cdaf.projects.project import Project
from cdaf.registries import reference, registry
from cdaf.registries.reference import Reference


def pin(project: Project, kept: Sequence[pins.Archive]) -> tuple[pins.Archive, ...]:
    """The digest of each image's index, or of its manifest where it has none. Raises ProjectError, ResolveError."""
    file = project.root / project.settings.docker.file
    if not file.is_file():
        raise ProjectError(f"docker.file: {project.settings.docker.file} is not there", "write it, and `git add` it")
    source = dockerfile.parse(file.read_bytes(), project.settings.docker.file)
    wanted = stages.target(source, project.settings.docker.target)
    if wanted is None:
        raise ProjectError(f"docker.target: no stage {project.settings.docker.target}", "name one that is there")
    known = {(each.name, each.version): each for each in kept}
    named = {_key(each): each for text in _named(project, source, wanted) if not (each := _parsed(text)).digest}

    def found(key: tuple[str, str]) -> pins.Archive:
        return known.get(key) or pins.Archive(name=key[0], version=key[1], hash=registry.manifest(named[key])[1].digest)

    with transfers.workers(4) as pool:
        return tuple(pool.map(found, sorted(named)))


def pinned(project: Project, source: Dockerfile, wanted: Stage, held: pins.Pins) -> dict[str, str]:
    """The digest of every image, by its name as the Dockerfile or the settings have it. Raises ProjectError."""
    known = {(each.name, each.version): each.hash for each in held.archives}
    found, lacking = {}, []
    for text in _named(project, source, wanted):
        parsed = _parsed(text)
        digest = parsed.digest or known.get(_key(parsed), "")
        found[text] = digest
        if not digest:
            lacking.append(f"no hash of {text}, which {project.settings.docker.file} builds on")
    if lacking:
        raise ProjectError(faults(pins.NAME, lacking), "run `cdaf lock`, and commit the file")
    return found


def of_platform(project: Project, source: Dockerfile, wanted: Stage, platform: str) -> stages.Needed:
    """What a build for one platform takes."""
    docker = project.settings.docker
    return stages.needed(source, wanted, platform, docker.args, docker.contexts)


def _named(project: Project, source: Dockerfile, wanted: Stage) -> list[str]:
    """Every image, those of named contexts and the Dockerfile's own frontend among them."""
    found: dict[str, None] = {}
    for platform in project.settings.image.platforms:
        needed = of_platform(project, source, wanted, platform)
        for name in needed.open:
            progress.warn(
                f"{name!r} in {project.settings.docker.file} cannot be told before the build, which takes it only"
                " where its image is among [docker.contexts]"
            )
        found |= dict.fromkeys(needed.images)
    contexts = project.settings.docker.contexts.values()
    found |= dict.fromkeys(each.removeprefix(IMAGE) for each in contexts if each.startswith(IMAGE))
    syntax = rules.frontend(project.settings.docker, source)
    return [*found, *([syntax] if syntax else [])]


def _parsed(text: str) -> Reference:
    try:
        return reference.tagged(reference.parse(text))
    except ResolveError as error:
        raise ProjectError(error.message, "mend it in the Dockerfile") from error


def _key(named: Reference) -> tuple[str, str]:
    return f"{named.registry}/{named.repository}", named.tag
