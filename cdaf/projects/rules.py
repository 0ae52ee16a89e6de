"""What must hold between the keys of `cdaf.toml`, beyond each key's own type."""

import re
from collections.abc import Collection, Iterator, Sequence
from string import Formatter

from cdaf import targets
from cdaf.projects.patterns import matching
from cdaf.registries import reference
from cdaf.settings.settings import Publish, Settings, Smoke

NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*")  # OCI distribution-spec, pulling manifests
NO_NAME = "cannot name an image: use a-z, 0-9 and single . _ - between them"
VERSION = re.compile(r"[0-9]+(\.[0-9]+)*([-.]?[0-9A-Za-z][0-9A-Za-z.-]*)?")
PLATFORMS = ("linux/amd64", "linux/arm64")
TEMPLATE_FIELDS = ("version", "commit", "major", "minor", "patch")
_SOURCE = re.compile(r"(?!-)[^/:=][^:=]*\.(py|sh|js|mjs|rb|pl|php)")
_FOLDER = re.compile(r"(/(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f]+)+")
_SECRET = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|CREDENTIALS?)($|_)", re.IGNORECASE)
_USERINFO = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@:]*:[^/@]+@")
_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/@:\s]*:[^/@\s]+@")
_LOGIN = re.compile(r"https?://[^/]*@|[^/]*://[^/@]*:[^/@]*@", re.IGNORECASE)


def broken(settings: Settings) -> list[str]:
    """All faults, each with its key."""
    return [
        *_service(settings),
        *_image(settings),
        *_smoke(settings),
        *_publish("publish", settings.publish),
        *(fault for name, table in settings.environments.items() for fault in _publish(f"environments.{name}", table)),
    ]


def idle(written: Collection[str], language: str, known: Collection[str]) -> list[str]:
    """Of the tables that a project's file has, those of other languages than its own, which nobody would look at."""
    return [
        f"{each}: this table is for services whose language is {each}, and this one's is {language}"
        for each in known
        if each != language and each in written
    ]


def absent(
    settings: Settings, files: Sequence[str], checks: Sequence[str], tracked: Collection[str], *, whole: bool = False
) -> list[str]:
    """What commands name and the image, or that of the checks, cannot hold.

    `files` enter the image, `checks` that of the checks; `tracked` is all that git tracks. All are relative to the
    service. Of an image that comes `whole` nobody knows what it holds.
    """
    commands = [("service.start", settings.service.start), *(("smoke.before", each) for each in settings.smoke.before)]
    commands = [] if whole else commands
    ran = dict.fromkeys((key, name) for key, command in commands if (name := _run(command, tracked)))
    return [
        *(f"{key}: {name!r} {_why(name, tracked)}" for key, name in ran if not _enters(name, settings, files)),
        *(
            f"smoke.checks: {word!r} is nothing that git tracks: write the checks, and `git add` them"
            for word in _unwritten(settings, [*files, *checks])
        ),
    ]


def _run(command: Sequence[str], tracked: Collection[str]) -> str | None:
    """The file of the service's own that a command runs, as far as its words alone tell: `./serve`, `python main.py`.

    A program's name without a folder is looked up on PATH, an absolute one may stand in the base, and one in a hidden
    folder in a language's environment.
    """
    if not command:
        return None
    first = command[0].removeprefix("./")
    if "/" in command[0] and not first.startswith(("/", ".")):
        return first
    after = next((word for word in command[1:] if word != "-u"), "").removeprefix("./")
    return after if _SOURCE.fullmatch(after) or after in tracked else None


def _enters(name: str, settings: Settings, files: Sequence[str]) -> bool:
    return name in files or any(matching(pattern, [name]) for pattern in settings.build.outputs)


def _why(name: str, tracked: Collection[str]) -> str:
    if name in tracked:
        return "does not enter the image: name it in service.include"
    return "is nothing that git tracks: say how the service starts, or add the file and name it in service.include"


def _unwritten(settings: Settings, there: Sequence[str]) -> list[str]:
    """The checks' own files are there by default: only their command tells that there should be some."""
    declared = settings.smoke
    if declared.files != Smoke().files:
        return []
    named = [word for word in declared.checks if word == "smoke" or word.startswith("smoke/")]
    if not any(name.startswith("smoke/") for name in there):
        return named[:1]
    return [word for word in named if (name := word.partition("::")[0]).endswith(".py") and name not in there]


def _service(settings: Settings) -> Iterator[str]:
    service = settings.service
    if service.start and not service.start[0]:
        yield "service.start: the first word is empty"
    for number, word in enumerate(service.start, 1):
        if "\0" in word:
            yield f"service.start: word {number} holds a NUL, and no program can be given one"
        if _PASSWORD.search(word):
            yield f"service.start: word {number} holds a password, and a bundle is no place for one"
    if service.repository and _LOGIN.match(service.repository):
        yield "service.repository: holds a login, and everybody can read an image's labels; leave it out"
    for folder in service.state:
        if not _FOLDER.fullmatch(folder):
            yield f"service.state: {folder!r} is not an absolute folder, written plainly as /app/state is"
    for pattern in (*service.include, *settings.smoke.files, *settings.smoke.compose):
        if pattern.startswith("/") or ".." in pattern.split("/"):
            yield f"include: {pattern!r} leaves the service's folder"
    yield from _secrets("service.env", service.env)
    yield from _secrets("smoke.env", settings.smoke.env)


def _secrets(key: str, environment: dict[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            yield f"{key}: {name!r} is not a variable's name"
        elif "\0" in value:
            yield f"{key}.{name}: holds a NUL, and no program can be given one"
        elif key == "service.env" and looks_secret(name, value):
            yield f"{key}.{name}: looks like a secret, and an image is no place for one; name it in smoke.secrets"


def looks_secret(name: str, value: str) -> bool:
    """Whether a variable seems to hold what nobody may read: by its name, or a login in its value."""
    return bool(value and (_SECRET.search(name) or _USERINFO.match(value)))


def _image(settings: Settings) -> Iterator[str]:
    named = {
        "image.base": settings.image.base,
        "build.image": settings.build.image,
        "smoke.image": settings.smoke.image,
    }
    for key, image in named.items():
        if image and reference.holds_login(image):
            yield f"{key}: holds a login; it comes from the engine's own configuration"
    for platform in settings.image.platforms:
        if platform not in PLATFORMS:
            yield f"image.platforms: {platform!r} is not one of {', '.join(PLATFORMS)}"
    listed = [("exclude", each) for each in settings.image.exclude]
    for key, pattern in [*listed, *(("unaudited", each) for each in settings.image.unaudited)]:
        if not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
            yield f"image.{key}: {pattern!r} is no pattern of paths in archives, as **/tests/** is"
    if len(set(settings.image.platforms)) < len(settings.image.platforms):
        yield "image.platforms: a platform stands there twice"


def _smoke(settings: Settings) -> Iterator[str]:
    smoke = settings.smoke
    if smoke.health is not None and not smoke.health.startswith("/"):
        yield f"smoke.health: {smoke.health!r} is not a path that begins with /"
    if smoke.health is not None and settings.service.port is None:
        yield "smoke.health: needs service.port"
    if smoke.restart and not smoke.checks:
        yield "smoke.restart: needs smoke.checks"
    for platform in smoke.untested:
        if platform not in settings.image.platforms:
            yield f"smoke.untested: {platform!r} is not in image.platforms"


def _publish(key: str, table: Publish) -> Iterator[str]:
    for target in table.to:
        kind, _, where = target.partition(":")
        for fault in targets.kind_faults(target):
            yield f"{key}.to: {fault}"
        if "@" in where and kind in ("registry", "pypi"):
            yield f"{key}.to: a {kind} target holds a login; it is given at release, never sealed"
    for name, templates in (("tags", table.tags), ("moving", table.moving)):
        for template in templates:
            for fault in _template(template):
                yield f"{key}.{name}: {template!r} {fault}"


def _template(template: str) -> Iterator[str]:
    try:
        fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
    except ValueError:
        yield "has unbalanced braces"
        return
    for field in fields:
        if field not in TEMPLATE_FIELDS:
            yield f"names {{{field}}}, and there is only {', '.join(TEMPLATE_FIELDS)}"
    if not fields and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", template):
        yield "is not a tag"
