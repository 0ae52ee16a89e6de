"""The settings that win when nobody wrote them: a service's name, version, language and base, each with its origin."""

from contextlib import suppress
from pathlib import Path

import msgspec

from cdaf import languages
from cdaf.errors import ProjectError
from cdaf.projects import git
from cdaf.settings import origins
from cdaf.settings.origins import Origin


def find(root: Path) -> list[Origin]:
    """Every key of the project's settings as it holds. Raises ProjectError with all faults of the file.

    What cannot be told yet, without a lockfile or a commit, stays as the file has it.
    """
    written = origins.find(root)
    told = {each.key: each for each in written}
    known = {each.key: each for each in _known(root.resolve(), told["service.language"].value)}
    return [known.get(each.key, each) if each.value is None else each for each in written]


def _known(root: Path, declared: str | None) -> list[Origin]:
    top = _top(root)
    name = declared or languages.detect(root, top)
    if name is None or name not in languages.MODULES:
        return []
    language = languages.load(name)
    found = [Origin("service.language", name, _lockfile(root, top, language))]
    if name not in languages.SEALING:
        found.append(Origin("image.base", language.BASE, "default"))
    called, number = _identity(root, language)
    where = languages.named_by(name)
    found.append(Origin("service.name", called or root.name, where if called else "the folder's name"))
    if number is None and (tagged := _tagged(root)):
        return [*found, Origin("service.version", tagged, f"git's tag v{tagged}")]
    return [*found, *([Origin("service.version", number, where)] if number else [])]


def _identity(root: Path, language: languages.Language) -> tuple[str | None, str | None]:
    with suppress(ProjectError, msgspec.ValidationError):
        return language.identify(root)
    return None, None


def _lockfile(root: Path, top: Path, language: languages.Language) -> str:
    """The nearest of the language's lockfiles, not above `top`, by its name."""
    for folder in languages.upward(root, top):
        for file in language.LOCKFILES:
            if (folder / file).is_file():
                return file
    return "default"


def _top(root: Path) -> Path:
    try:
        return git.head(root).root.resolve()
    except ProjectError:
        return root


def _tagged(root: Path) -> str | None:
    with suppress(ProjectError):
        return git.describe(root)
    return None
