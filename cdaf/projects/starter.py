"""`cdaf init`: a commented cdaf.toml from what a folder shows, so that the first package needs no manual."""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cdaf import languages, progress
from cdaf.errors import ProjectError
from cdaf.projects import git, patterns
from cdaf.settings import config
from cdaf.testing import stack

_PASSED_OVER = {"node_modules", "venv", "__pycache__", "dist", "build", "site-packages"}

_DOCKERFILE = "Dockerfile"
ANY = "0.0.0.0"  # noqa: S104 - a container has to be reached from outside


class Findings(msgspec.Struct, kw_only=True):
    """What was found out about a service; `reasons` say by key where a value comes from."""

    start: tuple[str, ...]
    port: int | None = None
    include: tuple[str, ...] = ()
    base: str | None = None
    health: str | None = None
    before: tuple[tuple[str, ...], ...] = ()
    sidecars: tuple[str, ...] = ()
    group: str | None = None
    checks: tuple[str, ...] = ()
    version: str | None = None
    run: tuple[tuple[str, ...], ...] = ()
    outputs: tuple[str, ...] = ()
    image: str | None = None  # that builds run in
    reasons: dict[str, str] = {}
    entering: str = ""  # what enters the image beside tracked files, for people
    example: tuple[str, ...] = ("sh", "smoke/check.sh")  # a command that checks, where none was found
    grouped: bool = False  # whether checks have packages of their own, by a dependency group


def write(root: Path) -> Path:
    """Write `cdaf.toml` for the service in `root` and return its path.

    Raises ProjectError when there is a configuration already, or nothing that looks like a service.
    """
    if not root.is_dir():
        raise ProjectError(f"{root}: no such folder", "name the folder of a service")
    place = root / config.NAME
    if place.exists():
        raise ProjectError(f"{place} is there already", "edit it, or move it away first")
    shared = root / "pyproject.toml"
    if shared.is_file() and "cdaf" in config.parse(shared).get("tool", {}):
        raise ProjectError(f"{shared} has [tool.cdaf] already", "edit it, or remove that table first")
    found = look(root)
    try:
        with place.open("x", encoding="utf-8") as file:
            file.write(render(found))
    except OSError as error:
        raise ProjectError(
            f"{place} cannot be written: {error.strerror}", "check the folder's owner and mode"
        ) from error
    return place


def look(root: Path) -> Findings:
    """What the files in `root` tell. Raises ProjectError when no language knows them."""
    language = languages.detect(root.resolve(), _top(root))
    if language is None:
        wrong = languages.lacking(root)
        raise ProjectError(f"{root}: {wrong.fault}", wrong.hint)
    module = languages.load(language)
    found = module.look(root, files(root))
    if language not in languages.SEALING and (root / _DOCKERFILE).is_file():
        progress.note(f'there is a {_DOCKERFILE} too; `language = "docker"` below [service] packages what it builds')
    if module.identify(root)[1] is None and _described(root) is None:
        reasons = {**found.reasons, "version": "neither a manifest nor a tag in git says one"}
        found = msgspec.structs.replace(found, version="0.1.0", reasons=reasons)
    return found


def files(root: Path) -> list[str]:
    """The names below `root` that git tracks; all but hidden and built ones where nothing is added to git yet."""
    try:
        listed = [entry.name for entry in git.tracked(root)]
    except ProjectError:
        listed = []
    names = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return listed or sorted(
        name.as_posix()
        for name in names
        if not any(part.startswith(".") or part in _PASSED_OVER for part in name.parts)
    )


def known_sidecars(wanted: Sequence[str]) -> tuple[str, ...]:
    """Those of the images that cdaf has a fragment for."""
    return tuple(image for image in wanted if stack.fragment(image) is not None)


def existing(wanted: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Those of the patterns that match something."""
    return tuple(pattern for pattern in wanted if patterns.matching(pattern, names))


def check(names: Sequence[str], *endings: str) -> str | None:
    """The program right in `smoke/` that checks the service, by how its name ends; of several one called `check…`."""
    here = sorted(name for name in names if name.endswith(endings) and name.rpartition("/")[0] == "smoke")
    return next((name for name in here if name.startswith("smoke/check")), here[0] if here else None)


def render(found: Findings) -> str:
    """The file's text: what was found as settings, what was not as comments to uncomment."""
    lines = [
        "# How cdaf packages and releases this service. `cdaf schema` prints every key, `cdaf check` finds mistakes.",
        "",
        *(_service(found) if found.start else _build(found)),
        "",
        *_commands(found),
        "[image]",
        *(_set(found, "base", found.base) if found.base else []),
        'platforms = ["linux/amd64"]        # "linux/arm64" may stand beside it and needs no emulation to build',
        "",
        "[smoke]",
        *(
            _set(found, "health", found.health)
            if found.health
            else ['# health = "/healthz"          # a path to probe']
        ),
        *(_set(found, "before", found.before) if found.before else []),
        *(_set(found, "sidecars", found.sidecars) if found.sidecars else ['# sidecars = ["postgres:17"]']),
        *_checks(found),
        '# untested = ["linux/arm64"]       # one that does not run where it is released: published without a test',
        "",
        "[publish]",
        '# to = ["registry:registry.example/team/NAME"]   # default: an OCI layout beside the bundle, and the engine',
        'tags = ["sha-{commit}", "{version}"]',
        '# moving = ["latest", "{major}.{minor}"]         # only these may ever name another digest',
        "",
    ]
    return "\n".join(lines)


def _service(found: Findings) -> list[str]:
    return [
        "[service]",
        *(_set(found, "version", found.version) if found.version else []),
        *_set(found, "start", found.start),
        *(_set(found, "port", found.port) if found.port else ["# port = 8000"]),
        f"# Tracked files that go to /app{f'; {found.entering}' if found.entering else ''}.",
        *(_set(found, "include", found.include) if found.include else ['# include = ["templates/**"]']),
        '# env = { LOG_LEVEL = "info" }     # never a secret: those are bound by name at release',
        '# state = ["/app/state"]           # folders that the service may write to',
    ]


def _commands(found: Findings) -> list[str]:
    """[build], where there is anything to say of it."""
    named = (("run", found.run), ("outputs", found.outputs), ("image", found.image))
    lines = [line for key, value in named if value for line in _set(found, key, value)]
    return ["[build]", *lines, ""] if lines else []


def _checks(found: Findings) -> list[str]:
    """The group of the checks' packages is of no use without a command that checks."""
    name = json.dumps(found.group or "smoke")
    group = [f"# group = {name}               # of the checks"] if found.grouped or found.group else []
    return [
        *(_set(found, "group", found.group) if found.group and found.checks else group),
        *(_set(found, "checks", found.checks) if found.checks else [f"# checks = {json.dumps(found.example)}"]),
    ]


def _build(found: Findings) -> list[str]:
    """Of a service whose image comes whole, from a build of its own."""
    return [
        "[service]",
        *(_set(found, "port", found.port) if found.port else ["# port = 8000"]),
        *(
            _set(found, "version", found.version)
            if found.version
            else ['# version = "1.0.0"                # default: the nearest v… tag in git']
        ),
        "",
        "[docker]",
        "# network = false                  # whether the build may use the network; the manifest says which",
        '# context = ["services/NAME/**", "shared/**"]   # from the repository\'s root; default: the service\'s folder',
        '# args = { VARIANT = "small" }     # never a secret: those go below `secrets`, by name',
    ]


def _set(found: Findings, key: str, value: object) -> list[str]:
    reason = found.reasons.get(key)
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    return [f"{line}  # {reason}" if reason else line]


def _described(root: Path) -> str | None:
    try:
        return git.describe(root)
    except ProjectError:
        return None


def _top(root: Path) -> Path:
    try:
        return git.head(root).root.resolve()
    except ProjectError:
        return root.resolve()
