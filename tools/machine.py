"""The whole of `up`: which part is the machine's own, which is ours, in which order they start."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tools import engine, index, registry, standins, state, uv
from tools.state import ToolError

PROBE = "python:3.13-slim"


def up(images: tuple[standins.StandIn, ...] = standins.ALL, *, indexed: bool = True) -> engine.Engine:
    """Bring up uv, engine, mirror, these base images and, unless told not to, the package index.

    Milliseconds when all of it is there.
    """
    uv.ensure()
    if (found := _warm(images)) and (not indexed or index.ready()):
        return found
    with state.locked("up"):
        found = _warm(images) or _cold(images)
        if indexed:
            index.up(found)
        return found


def _warm(images: tuple[standins.StandIn, ...]) -> engine.Engine | None:
    """Our engine and mirror, when both run and hold what they should."""
    port, own = registry.running(), engine.running()
    if port is None or own is None or (not state.read("public") and standins.missing(port, images)):
        return None
    return own


def _cold(images: tuple[standins.StandIn, ...]) -> engine.Engine:
    own = None if engine.running() or state.read(engine.OWN) else engine.find()
    if own:
        return _theirs(own, images)
    port = registry.start()
    made = engine.start(f"http://127.0.0.1:{port}")
    if not public(made):
        standins.make(port, standins.missing(port, images))
    return made


def _theirs(found: engine.Engine, images: tuple[standins.StandIn, ...]) -> engine.Engine:
    """The machine's own engine is used as it is: what it can't pull can't be given to it without changing it."""
    mirrors = state.answers([found.client, "info", "--format", '{{join .RegistryConfig.Mirrors " "}}']) or ""
    known = [mirror.rstrip("/") for mirror in mirrors.split()]
    if f"http://127.0.0.1:{registry.port()}" not in known and public(found):
        return found
    port = registry.start()
    standins.make(port, standins.missing(port, images))
    if f"http://127.0.0.1:{port}" not in known:
        raise ToolError(
            f"the Docker engine here can't pull {PROBE} from a public registry, and is not ours to configure",
            f'add "registry-mirrors": ["http://127.0.0.1:{port}"] to its daemon.json (stand-ins are served there), or '
            "stop it: then an engine of our own is started",
        )
    return found


def public(found: engine.Engine) -> bool:
    """Whether public images can be had; yes once is yes for good.

    The machine's own engine is asked to pull, for only it knows its mirrors; ours is not, it would ask our registry.
    """
    if state.read("public").get("engine") == found.host:
        return True
    env = os.environ | engine.environment(found)
    ours = [found.client, "manifest", "inspect", f"docker.io/library/{PROBE}"]
    theirs = [found.client, "pull", "--quiet", PROBE]
    if state.answers(ours if found.own else theirs, env, 20 if found.own else 180) is None:
        state.forget("public")
        return False
    state.write("public", {"engine": found.host})
    return True


def images(names: list[str]) -> None:
    """Make stand-ins by name, also those that `up` leaves out."""
    known = {image.reference: image for image in standins.ALL}
    wanted = list(known) if names == ["all"] else names
    if unknown := [name for name in wanted if name not in known]:
        raise ToolError(f"no stand-in is known for {', '.join(unknown)}", f"choose from {', '.join(known)}")
    with state.locked("up"):
        port = registry.start()
        standins.make(port, standins.missing(port, tuple(known[name] for name in wanted)))


def environment() -> dict[str, str]:
    """The variables that lead to everything that is up: an engine of ours, its client and uv first on PATH."""
    found: dict[str, str] = {}
    folders = []
    if own := engine.running():
        found |= engine.environment(own)
        folders.append(_shims(own))
    if place := uv.find():
        found |= {"UV": place, **uv.environment()}
        folders.append(str(Path(place).parent))
    if port := registry.running():
        found["CDAF_TOOLS_MIRROR"] = f"127.0.0.1:{port}"
        found["CDAF_REGISTRY_MIRRORS"] = f"http://127.0.0.1:{port}"
    if index.running():
        found["CDAF_TOOLS_INDEX"] = index.url()
        found["COMPOSER_HOME"] = str(index.folder() / "composer")  # its config.json leads to the index
        found["BUNDLE_MIRROR__ALL"] = index.url("ruby")  # as who cannot reach the public one would
    path = os.environ.get("PATH", "").split(os.pathsep)
    found["PATH"] = os.pathsep.join(dict.fromkeys([*folders, *path]))
    return found


def _shims(own: engine.Engine) -> str:
    """A folder with nothing in it but the right docker program, to stand first on PATH."""
    place = state.folder() / "bin" / "docker"
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(own.client)
    return str(place.parent)


def status() -> dict[str, str]:
    """What is there, for people."""
    own = engine.running()
    port = registry.running()
    theirs = None if own else engine.find()
    images = [name for name in state.read("images") if port]
    return {
        "state": str(state.folder()),
        "uv": uv.find() or "missing",
        "engine": own.host if own else f"the machine's own, by {shlex.quote(theirs.client)}" if theirs else "none",
        "registry": f"127.0.0.1:{port}" if port else "not running",
        "index": index.url() if index.running() else "not running",
        "images": "public" if state.read("public") else ", ".join(sorted(images)) or "none",
    }
