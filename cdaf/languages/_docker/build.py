"""Building a service's image for every platform, and keeping what came out by what went in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from cdaf import languages, progress, store
from cdaf.errors import CdafError, ProjectError, faults
from cdaf.images import oci, rewriting
from cdaf.images.plan import BasePin
from cdaf.languages._docker import context, images, rules
from cdaf.languages._docker.context import IMAGE
from cdaf.languages._docker.finish import Template, template
from cdaf.languages._docker.resolve import Recipe
from cdaf.languages._docker.rules import INLINE
from cdaf.languages._docker.stages import SCRATCH
from cdaf.languages._shared import memo, scratch
from cdaf.projects.project import Project
from cdaf.registries import reference, registry, wire
from cdaf.settings.settings import Docker

_REVISION = "3"  # of how a build is asked for, and of what is kept of it
_BLOBS = "blobs"


def collect(project: Project, lock: languages.Lock) -> languages.Collection:
    """Build every platform, or take what an earlier build of the very same inputs gave."""
    [recipe] = [each for each in lock.packages if isinstance(each, Recipe)]
    made = tuple(_one(project, recipe, platform) for platform in project.settings.image.platforms)
    return languages.Collection(msgspec.structs.replace(lock, packages=made), ())


def _one(project: Project, recipe: Recipe, platform: str) -> Template:
    key = _key(project, recipe, platform)
    if project.settings.docker.cache:
        known = memo.load(key, Template)
        if known is not None and _is_whole(known):
            return known
    made = _build(project, recipe, platform)
    memo.save(key, made)
    return made


def _is_whole(known: Template) -> bool:
    """Whether its own layers are still there, with what they hold; those of its base are fetched when they are not."""
    return all(
        store.intact(_BLOBS, oci.hexed(each.digest), each.size)
        and store.recall(rewriting.LISTINGS, oci.hexed(each.digest)) is not None
        for each in known.own
    )


def _key(project: Project, recipe: Recipe, platform: str) -> str:
    """Everything that a build is a function of, but what the network answers."""
    docker = project.settings.docker
    told = (platform, docker.target, docker.args, docker.contexts, docker.network, docker.secrets, recipe.digests)
    time = str(project.source.time) if recipe.source.epoch else ""
    compression = project.settings.image.compression
    inline = str(docker.cache_to == INLINE)
    return memo.key("docker", _REVISION, recipe.identity, msgspec.json.encode(told), time, compression, inline)


def _build(project: Project, recipe: Recipe, platform: str) -> Template:
    from cdaf import engine
    from cdaf.testing import masking

    docker = project.settings.docker
    masked = masking.mask(_secrets(docker).values())
    engine.demand_buildx(engine.facts())
    engine.clear_built()
    with scratch.folder() as temporary:
        place, file, named = context.lay(recipe.context, recipe.identity, temporary / "sent")
        wanted = engine.Build(
            context=place,
            file=file,
            platform=platform,
            target=docker.target,
            arguments=_arguments(project, recipe),
            contexts=_contexts(project, recipe, named, platform),
            secrets=docker.secrets,
            network=docker.network,
            reuse=docker.cache,
            cache_from=_cached(docker),
            cache_to=docker.cache_to,
            pinned=frozenset(recipe.digests.values()),
        )
        try:
            with engine.built(wanted, masked) as found:
                layout = temporary / "layout"
                layout.mkdir()
                engine.save(found, layout)
        except CdafError as error:
            raise masking.error(error, masked) from None
        return template(project, layout, platform, *_bases(project, recipe, platform))


def _secrets(docker: Docker) -> dict[str, str]:
    missing = [f"{name} is not set" for name in docker.secrets if not os.environ.get(name)]
    if missing:
        raise ProjectError(faults("docker.secrets", missing), "set each of them in the environment of this command")
    return {name: os.environ[name] for name in docker.secrets}


def _arguments(project: Project, recipe: Recipe) -> dict[str, str]:
    found = {"SOURCE_DATE_EPOCH": str(project.source.time), **project.settings.docker.args}
    if syntax := rules.frontend(project.settings.docker, recipe.source):
        found[rules.SYNTAX] = _at(syntax, recipe.digests)
    return found


def _contexts(project: Project, recipe: Recipe, named: Mapping[str, Path], platform: str) -> dict[str, str]:
    """Folders and images by name; an image of the Dockerfile's is a context of its own name, at its pinned digest."""
    found = {name: str(path) for name, path in named.items()}
    for name, where in project.settings.docker.contexts.items():
        if where.startswith(IMAGE):
            found[name] = IMAGE + _at(where.removeprefix(IMAGE), recipe.digests)
    needed = images.of_platform(project, recipe.source, recipe.stage, platform)
    pinned = {name: IMAGE + _at(name, recipe.digests) for name in needed.images if "@" not in name}
    return {**pinned, **found}


def _at(name: str, digests: Mapping[str, str]) -> str:
    return str(reference.at(reference.parse(name), digests[name]))


def _bases(project: Project, recipe: Recipe, platform: str) -> tuple[BasePin | None, tuple[BasePin, ...]]:
    """What the result stands on, by the digest of its platform, and the other images that it is built with.

    The first is None on scratch, and on what only the build can tell.
    """
    needed = images.of_platform(project, recipe.source, recipe.stage, platform)
    tools = tuple(BasePin(name, recipe.digests[name]) for name in needed.images if name != needed.base)
    if needed.base in ("", SCRATCH) or needed.base not in recipe.digests:
        return None, tools
    named = reference.at(reference.parse(needed.base), recipe.digests[needed.base])
    return BasePin(needed.base, registry.resolve(named, platform).digest), tools


def _cached(docker: Docker) -> str | None:
    """The first of the references that its registry has; who cannot be asked now is passed over, and that is said."""
    for each in docker.cache_from if docker.cache else ():
        named = reference.tagged(reference.parse(each))
        for where in wire.sources(named):
            try:
                if registry.head(where, named.digest or named.tag) is not None:
                    return each
            except CdafError as error:
                progress.note(f"docker.cache_from: {each}: {error.message}")
    if docker.cache_from and docker.cache:
        progress.note(f"docker.cache_from: none of {', '.join(docker.cache_from)} is there yet")
    return None
