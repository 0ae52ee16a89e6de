"""What [docker] may say, and what of the other tables cannot act on an image that is sealed as it was built."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from cdaf.errors import ResolveError
from cdaf.languages._docker.context import IMAGE
from cdaf.languages._docker.dockerfile import Dockerfile
from cdaf.projects import rules
from cdaf.projects.project import Project
from cdaf.registries import reference
from cdaf.settings.settings import Docker

INLINE = "inline"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTEXT = re.compile(r"[a-z0-9][a-z0-9._/:-]*")
_TAKEN = ("context", "dockerfile")  # BuildKit's own names
# Arguments that need no ARG (Dockerfile reference, predefined ARGs, platform ARGs, BuildKit's built-in build args).
_PREDEFINED = (
    *(name for each in ("HTTP", "HTTPS", "FTP", "NO", "ALL") for name in (f"{each}_PROXY", f"{each.lower()}_proxy")),
    *(f"{kind}{what}" for kind in ("TARGET", "BUILD") for what in ("PLATFORM", "OS", "ARCH", "VARIANT")),
    "TARGETSTAGE",
    "SOURCE_DATE_EPOCH",
)
_BUILDKIT = "BUILDKIT_"
SYNTAX = f"{_BUILDKIT}SYNTAX"  # the argument by which another frontend than the Dockerfile's is named
_DOCKERFILE = re.compile(r"(?:.*/)?docker/dockerfile(?:-upstream)?(?:[:@].*)?")  # the frontend itself, as an image
_INSTEAD = {
    "service.start": "ENTRYPOINT and CMD",
    "service.include": "COPY, and docker.context",
    "service.env": "ENV",
    "service.state": "VOLUME, or a folder that RUN makes",
    "service.user": "USER",
    "service.extras": "RUN",
    "service.groups": "RUN",
    "build.run": "RUN, in a stage of its own",
    "build.outputs": "COPY --from",
    "build.image": "FROM",
    "image.base": "FROM",
    "image.exclude": "a .dockerignore, or what RUN removes",
    "image.bytecode": "RUN",
    "smoke.group": "FROM in an image of its own, named in smoke.image",
}


def broken(project: Project) -> Iterator[str]:
    """All faults of the settings, each with its key."""
    for key, instead in _INSTEAD.items():
        if key in project.origins:
            yield f"{key}: the Dockerfile says it, by {instead}; an image is sealed as it was built"
    if "image.unaudited" in project.origins:
        yield "image.unaudited: leave it out; what a Dockerfile brings into its image is not audited"
    docker = project.settings.docker
    for pattern in docker.context:
        if not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
            yield f"docker.context: {pattern!r} is no pattern of paths from the repository's root"
    yield from _contexts(docker)
    yield from _variables(docker)
    for key, each in [*(("cache_from", each) for each in docker.cache_from), ("cache_to", docker.cache_to or INLINE)]:
        if each != INLINE or key == "cache_from":
            yield from _reference(f"docker.{key}", each)


def _contexts(docker: Docker) -> Iterator[str]:
    for name, where in docker.contexts.items():
        if not _CONTEXT.fullmatch(name) or name in _TAKEN:
            yield f"docker.contexts: {name!r} cannot name a context"
        elif where.startswith(IMAGE):
            yield from _reference(f"docker.contexts.{name}", where.removeprefix(IMAGE))
        elif "://" in where:
            yield f"docker.contexts.{name}: {where.partition('://')[0]}:// is neither a folder nor {IMAGE}"


def _variables(docker: Docker) -> Iterator[str]:
    for name, value in docker.args.items():
        if not _VARIABLE.fullmatch(name):
            yield f"docker.args: {name!r} is not an argument's name"
        elif rules.looks_secret(name, value):
            yield f"docker.args.{name}: looks like a secret, and an image's history shows it; name it in docker.secrets"
    for name in docker.secrets:
        if not _VARIABLE.fullmatch(name):
            yield f"docker.secrets: {name!r} is not a variable's name"


def untaken(docker: Docker, source: Dockerfile) -> Iterator[str]:
    """Arguments that no ARG takes, and without which BuildKit would build; what another frontend takes is not known."""
    syntax = frontend(docker, source)
    if syntax and not _DOCKERFILE.fullmatch(syntax):
        return
    for name in docker.args:
        known = name in source.taken or name in _PREDEFINED or name.startswith(_BUILDKIT)
        if _VARIABLE.fullmatch(name) and not known:
            close = difflib.get_close_matches(name, [*source.taken, *_PREDEFINED], 1)
            near = f", did you mean {close[0]!r}?" if close else ""
            yield f"docker.args.{name}: no ARG of {docker.file} takes it{near}"


def frontend(docker: Docker, source: Dockerfile) -> str:
    """The image that reads the Dockerfile instead of BuildKit itself; an argument goes before the file's own line."""
    return (docker.args.get(SYNTAX) or source.syntax).strip().partition(" ")[0]


def _reference(key: str, text: str) -> Iterator[str]:
    if reference.holds_login(text):
        yield f"{key}: holds a login; it comes from the client's own configuration"
        return
    try:
        reference.parse(text)
    except ResolveError as error:
        yield f"{key}: {error.message}"
