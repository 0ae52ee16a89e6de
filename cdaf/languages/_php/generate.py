"""What Composer writes beside the packages (autoloader, list of what is installed, programs), by Composer itself.

It installs the very archives of the lock in a container without network; only what it wrote is taken.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec

from cdaf import progress, store
from cdaf.errors import ResolveError
from cdaf.images.content import Content, of_bytes, of_file
from cdaf.images.plan import Dir, Entry, Place
from cdaf.languages._php import lockfile, platform, spread
from cdaf.languages._php.lockfile import Lockfile
from cdaf.languages._php.spread import Spread
from cdaf.languages._php.values import LOCK, MANIFEST, VENDOR, Package
from cdaf.languages._shared import commands, container, frame, memo, tree
from cdaf.languages._shared.commands import Output
from cdaf.languages._shared.frame import Generated
from cdaf.net.fetch import KIND
from cdaf.projects import pins as pinned
from cdaf.projects.locking import base_of
from cdaf.projects.pins import Base, Pins
from cdaf.projects.project import Project

_REVISION = "1"
_INSTALL = "composer install --no-interaction --no-scripts --no-progress"
_ENVIRONMENT = {
    "COMPOSER_ALLOW_SUPERUSER": "1",
    "COMPOSER_CACHE_DIR": "/dev/null",
    "COMPOSER_DISABLE_NETWORK": "1",
    "COMPOSER_HOME": "/build/composer",
    "COMPOSER_NO_AUDIT": "1",
}


class Set(msgspec.Struct, frozen=True):
    """What one vendor folder is made of: the packages' names, those whose files Composer reads in their places,
    whether developers' are among them, the version of PHP that will run them, and the service's own PHP files by
    their path below /app.
    """

    names: tuple[str, ...]
    read: tuple[Spread, ...]
    dev: bool
    php: str
    own: Mapping[str, Content] = {}


def outputs(project: Project, pins: Pins, found: Lockfile, chosen: Set, *, quietly: bool = False) -> tuple[Output, ...]:
    """The files that Composer writes, named by their path below vendor.

    Raises ResolveError when Composer cannot run here, or fails.
    """
    image = _image(project, pins)
    name = memo.key("php autoload", *_inputs(project, found, chosen, image))
    known = memo.load(name, tuple[Output, ...])
    if known is None or not all(store.checked(KIND, each.sha256) for each in known):
        with nullcontext() if quietly else progress.step("writing the autoloader"):
            known = _run(project, found, chosen, image)
        memo.save(name, known)
    return known


def ahead(project: Project, pins: Pins, found: Lockfile, packages: Sequence[Package]) -> Callable[[], object] | None:
    """What makes the image's files before any archive is there, where none is read; None where some are."""
    laid = [each for each in packages if not each.dev and each.kind != "meta"]
    if reads(project, found, laid) or needs_sources(found):
        return None
    chosen = Set(tuple(sorted(each.name for each in laid)), (), False, php(project, pins))
    return lambda: outputs(project, pins, found, chosen, quietly=True)


def php(project: Project, pins: Pins) -> str:
    """The exact version of PHP that the service will have."""
    base = pinned.base(pins, base_of(project), container.nearest(project.settings.image.platforms))
    return base.facts.interpreter_version


def _image(project: Project, pins: Pins) -> Base:
    platform = container.nearest(project.settings.image.platforms)
    return pinned.base(pins, project.settings.php.composer, platform)


def _inputs(project: Project, found: Lockfile, chosen: Set, image: Base) -> list[bytes | str]:
    archives = [f"{each.package.name} {each.archive.dependency.sha256}" for each in chosen.read]
    gone = [f"{each.package.name}/{path}" for each in chosen.read for path in each.gone]
    own = [f"{name} {content.sha256}" for name, content in sorted(chosen.own.items())]
    parts = [_REVISION, image.digest, str(chosen.dev), chosen.php, *project.settings.php.plugins]
    listed = parts, chosen.names, archives, gone, own
    return [found.data, found.manifest_data, *("\0".join(each) for each in listed)]


def identity(project: Project, pins: Pins) -> str:
    """What tells one Composer from another."""
    return f"{_REVISION} {_image(project, pins).digest} {' '.join(project.settings.php.plugins)}"


def reads(project: Project, found: Lockfile, packages: Sequence[Package]) -> frozenset[str]:
    """The packages whose files Composer reads: programs, lists of classes, plugins that run."""
    if _is_optimized(found) or project.settings.php.plugins:
        return frozenset(each.name for each in packages)
    listed = {entry["name"] for entry, _ in lockfile.entries(found) if _has_classmap(entry)}
    return frozenset(each.name for each in packages if each.bins or each.name in listed)


def needs_sources(found: Lockfile) -> bool:
    """Whether the autoloader depends on which classes the service's own files declare."""
    return _is_optimized(found) or any(_has_classmap(found.manifest, key) for key in ("autoload", "autoload-dev"))


def _is_optimized(found: Lockfile) -> bool:
    return any(found.config.get(key) for key in ("optimize-autoloader", "classmap-authoritative"))


def _has_classmap(entry: Mapping[str, Any], key: str = "autoload") -> bool:
    told = entry.get(key)
    return isinstance(told, dict) and bool(told.get("classmap"))


def _run(project: Project, found: Lockfile, chosen: Set, image: Base) -> tuple[Output, ...]:
    container.demand_here(image.platform, "Composer is needed for", "package where it runs")
    command = ["/bin/sh", "-c", _script(project, found, chosen)]
    ran = container.run(image, command, *_laid(project, found, chosen), folder=frame.FOLDER, env=_ENVIRONMENT)
    if ran.code:
        missing = b"composer: not found" in ran.stderr
        hint = "name an image that has Composer in php.composer" if missing else "mend what Composer says"
        raise ResolveError(f"Composer, in {image.reference}, could not lay out the vendor folder", hint, ran.output)
    with tree.taken(ran.taken, container.OUT, "what Composer wrote cannot be taken", "try again") as taken:
        return tuple(_kept(name, path, found) for name, path in taken)


def _laid(project: Project, found: Lockfile, chosen: Set) -> tuple[list[Entry], dict[str, Content]]:
    """What Composer looks at, in the places that it has in the image: it finds every package installed already.

    Files are there where Composer reads them.
    """
    contents = {f"/app/{name}": each for name, each in chosen.own.items()}
    contents[f"/app/{MANIFEST}"] = of_bytes(_manifest(project, found, chosen))
    contents[f"/app/{LOCK}"] = of_bytes(_local(found, chosen))
    laid: list[Entry] = [Place(path, path) for path in contents]
    generated: Generated = {}
    for each in chosen.read:
        member = each.archive.dependency.archive
        contents[member] = of_file(each.archive.path, each.archive.dependency.sha256)
        laid += spread.entries(each, generated)
    laid += [Dir(f"{VENDOR}/{name}") for name in chosen.names]
    return laid, contents | {name: of_bytes(data) for name, data in generated.items()}


def _manifest(project: Project, found: Lockfile, chosen: Set) -> bytes:
    """composer.json with those plugins allowed that the settings name, and a platform as the base is."""
    allowed: object = dict.fromkeys(project.settings.php.plugins, True)
    told = found.config.get("platform")
    overrides = {**(told if isinstance(told, dict) else {}), **platform.overrides(found, chosen.php, dev=chosen.dev)}
    config = {**found.config, "allow-plugins": allowed or False, "platform": overrides}
    return json.dumps({**found.manifest, "config": config}).encode()


def _local(found: Lockfile, chosen: Set) -> bytes:
    """The lock with every package in its place already."""
    laid = frozenset(chosen.names)

    def local(entry: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in entry.items() if key not in ("source", "dist", "transport-options")}
        if entry["name"] not in laid:
            return kept
        told = (entry.get("dist") or entry.get("source") or {}).get("reference")
        return {**kept, "dist": {"type": "path", "url": f"{VENDOR}/{entry['name']}", "reference": told}}

    lock = {**found.lock, **{key: [local(each) for each in found.lock[key]] for key in ("packages", "packages-dev")}}
    return json.dumps(lock).encode()


def _script(project: Project, found: Lockfile, chosen: Set) -> str:
    """POSIX shell that lets Composer install what is there, and copies what it wrote."""
    words = ("" if chosen.dev else " --no-dev") + ("" if project.settings.php.plugins else " --no-plugins")
    if found.config.get("apcu-autoloader"):  # Composer makes up a prefix by chance
        words += f" --apcu-autoloader-prefix={shlex.quote(found.lock['content-hash'])}"
    copies = [
        f"find {folder} -maxdepth 1 -type f -exec cp {{}} {container.OUT}/{into} \\;"
        for folder, into in (("vendor", ""), ("vendor/composer", "composer/"), ("vendor/bin", "bin/"))
    ]
    folders = f"mkdir -p vendor/composer vendor/bin {container.OUT}/composer {container.OUT}/bin"
    return "\n".join(["set -e", f"{_INSTALL}{words}", folders, *copies])


def _kept(name: str, path: Path, found: Lockfile) -> Output:
    if name == "composer/installed.json":
        path.write_bytes(_installed(path.read_bytes(), found))
    return msgspec.structs.replace(commands.kept(name, path), executable=name.startswith("bin/"))


def _installed(data: bytes, found: Lockfile) -> bytes:
    """installed.json with the addresses of the lock, where those of the container stand, as Composer writes JSON."""
    told = json.loads(data)
    origins = {entry["name"]: entry for entry, _ in lockfile.entries(found)}
    told["packages"] = [_original(each, origins.get(each["name"], {})) for each in told["packages"]]
    text = json.dumps(told, indent=4, ensure_ascii=False)
    text = text.replace("\u2028", r"\u2028").replace("\u2029", r"\u2029")
    return lockfile.redacted(text.encode()) + b"\n"


def _original(entry: dict[str, Any], locked: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in entry.items():
        if key == "dist":
            made |= {name: locked[name] for name in ("source", "dist") if name in locked}
        elif key == "installation-source":
            made[key] = "dist" if "dist" in locked else "source"
        else:
            made[key] = value
        if key == "installation-source" and "transport-options" in locked:
            made["transport-options"] = locked["transport-options"]
    return made


def places(made: Sequence[Output]) -> tuple[list[Place], dict[str, Content]]:
    """Where the files stand in an image, and the bundle's members that hold them."""
    contents = {_member(each): of_file(each.path, each.sha256) for each in made}
    mode = {False: 0o644, True: 0o755}
    return [Place(_member(each), f"{VENDOR}/{each.name}", mode[each.executable]) for each in made], contents


def _member(each: Output) -> str:
    return f"generated/vendor/{each.sha256[:12]}/{each.name}"
