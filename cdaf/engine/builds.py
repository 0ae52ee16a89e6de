"""Building images with BuildKit, by the client's buildx: one platform, into the engine, and out of it again.

The client is started here and not by python-on-whales, which lets a build run on whose log it was reading when it was
interrupted.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from cdaf import process, progress
from cdaf.engine import buildlog, owner
from cdaf.engine.client import EngineGone, api, asking, binary, of_program, whales
from cdaf.engine.images import inspect
from cdaf.errors import EngineError, ProjectError, ResolveError, faults

_UNFIT = ("is not supported for the docker driver", "not supported by the buildx", "unsupported cache exporter")
_PARSING = ("dockerfile parse error", "failed to parse", "unknown instruction", "target stage")
_LATER = ("i/o timeout", "connection refused", "connection reset", "TLS handshake timeout", "Too Many Requests")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')  # what somebody else wrote
_STEP = 'process "" did not complete successfully'


class Build(msgspec.Struct, frozen=True):
    """What to build: folders of this machine, and what BuildKit is told beside them.

    `contexts` are folders and images by name; `secrets` are variables, mounted under their own names. Without `reuse`
    nothing that earlier builds made serves again. `pinned` are the digests of all images that it may take.
    """

    context: Path
    file: Path
    platform: str
    target: str | None = None
    arguments: Mapping[str, str] = {}
    contexts: Mapping[str, str] = {}
    secrets: Sequence[str] = ()
    network: bool = True
    reuse: bool = True
    cache_from: str | None = None
    cache_to: str | None = None
    pinned: Collection[str] = ()


@contextmanager
def built(wanted: Build, masked: Callable[[str], str] = str) -> Iterator[str]:
    """Build an image and yield its id in the engine, which has it as long as the block lasts.

    The steps of the build are progress, each `masked`. Raises ProjectError for a Dockerfile that BuildKit cannot read
    or that takes an image that is not pinned, ResolveError for a build that fails, EngineError when the engine does not
    build, or cannot do what it is asked for.
    """
    run = owner.new_run()
    labels = owner.labels(run)
    try:
        with progress.step(f"building for {wanted.platform}") as say:
            yield _build(wanted, labels, lambda line: say(masked(line)))
    finally:
        _remove(run)


def _build(wanted: Build, labels: Mapping[str, str], say: Callable[[str], None]) -> str:
    what, name = f"the build for {wanted.platform}", f"cdaf-build:{labels[owner.RUN]}"
    with asking(what):
        into = _into(name)
    done = process.stream(_command(wanted, labels, into), buildlog.reader(say))
    said = done.stdout.decode(errors="replace")
    if done.code:
        error = of_program(said.strip(), what)
        raise error if isinstance(error, EngineGone) else _explained(error, wanted)
    _demand_pinned(buildlog.images(said), wanted)
    found = inspect(name)
    if found is None:
        raise EngineError("the engine does not have what was built", "look into the engine's log")
    return str(found["Id"])


def _into(name: str) -> list[str]:
    """How the result gets into the engine: its own builder names it there, any other has to hand it over."""
    if whales().buildx.inspect().driver == "docker":
        return ["--output", f"type=image,name={name}"]
    return ["--load", "--tag", name]


def _command(wanted: Build, labels: Mapping[str, str], into: Sequence[str]) -> list[str]:
    """The client's command line. Of its logs every buildx has the plain one; that in JSON came later."""
    to = "type=inline" if wanted.cache_to == "inline" else f"type=registry,ref={wanted.cache_to},mode=max"
    options = {
        "--file": [str(wanted.file)],
        "--platform": [wanted.platform],
        "--target": [wanted.target] if wanted.target else [],
        "--build-arg": _pairs(wanted.arguments),
        "--build-context": _pairs(wanted.contexts),
        "--secret": [f"id={name},env={name}" for name in wanted.secrets],
        "--network": [] if wanted.network else ["none"],
        "--cache-from": [f"type=registry,ref={wanted.cache_from}"] if wanted.cache_from else [],
        "--cache-to": [to] if wanted.cache_to else [],
        "--label": _pairs(labels),
    }
    given = [word for option, values in options.items() for value in values for word in (option, value)]
    fixed = ["--progress=plain", "--provenance=false", "--sbom=false", *([] if wanted.reuse else ["--no-cache"])]
    return [binary(), "buildx", "build", *fixed, *given, *into, str(wanted.context)]


def _pairs(named: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in named.items()]


def _demand_pinned(images: Iterable[str], wanted: Build) -> None:
    """Hold what BuildKit took against what it was to take: a Dockerfile may say more than cdaf can read of it."""
    wrong = [f"it takes {each}, which is not pinned" for each in images if each.partition("@")[2] not in wanted.pinned]
    if wrong:
        hint = 'name each in [docker.contexts], as NAME = "docker-image://NAME", then run `cdaf lock`'
        raise ProjectError(faults(f"the build for {wanted.platform}", wrong), hint)


def _explained(error: EngineError, wanted: Build) -> Exception:
    """Whose fault a failed build is, by BuildKit's own last word: what the steps say could be anything."""
    said = error.output
    cause = buildlog.cause(said)
    told = cause or error.message.partition(" failed: ")[2] or error.message
    words = _QUOTED.sub('""', cause)
    if _STEP not in words:
        if any(mark in words for mark in _UNFIT):
            hint = 'use cache_to = "inline", or an engine with the containerd image store, or another buildx builder'
            return EngineError(f"the engine's builder cannot do this: {told}", hint, said)
        if any(mark in words for mark in _PARSING):
            return ProjectError(f"the Dockerfile: {told}", "mend it where BuildKit says", said)
    later = _STEP not in words and any(mark in words for mark in _LATER)
    hint = "read the build's output above, and mend the Dockerfile or what it needs"
    return ResolveError(f"the build for {wanted.platform} failed: {told}", hint, said, transient=later)


def _remove(run: str) -> None:
    """Take the image away that this run made; the engine's build cache keeps its parts, as it does for any build."""
    with suppress(EngineError), asking("removing what was built"):
        for each in api().images(filters={"label": f"{owner.RUN}={run}"}, all=True):
            api().remove_image(each["Id"], force=True)


def clear_built() -> None:
    """Remove images that builds have left whose processes were killed."""
    with asking("listing what bears cdaf's label"):
        listed = api().images(filters={"label": owner.OWNER})
        for each in listed:
            if owner.is_dead((each.get("Labels") or {}).get(owner.OWNER, "")) and inspect(each["Id"]):
                progress.note(f"removing an image that a killed build left: {each['Id'][:19]}")
                api().remove_image(each["Id"], force=True)
