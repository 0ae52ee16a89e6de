"""Finding what is wrong with a project: before anything is fetched, and after its build has run once."""

import os
from collections.abc import Sequence
from pathlib import Path

from cdaf import languages, progress
from cdaf.bundles.bundle import Bundle
from cdaf.errors import ProjectError, faults
from cdaf.projects import locking, pins, project
from cdaf.projects.project import Project


def check(root: Path) -> Project:
    """The project in `root`, once its settings, its files and both of its locks are found to be right.

    Raises ProjectError with all faults: of `cdaf.toml` and what it names first, then of the locks; ResolveError for
    what the native lock names and the base cannot have.
    """
    found = project.read(root)
    language = languages.load(found.language)
    wrong, lacking = [*language.check(found)], []
    held = pins.read(locking.path(found))
    if held is None:
        progress.note(f"{pins.NAME} is not there yet: `cdaf lock` or `cdaf package` writes it")
    else:
        lacking = [f"{pins.NAME}: {fault}" for fault in locking.lacking(found, held)]
    if held is not None and not lacking:
        language.resolve(found, held)  # which tells more, with a hint of its own
    if wrong or lacking:
        again = [*filter(None, [languages.relocking(language) if wrong else "", "run `cdaf lock`" if lacking else ""])]
        raise ProjectError(
            faults(found.name, [*wrong, *lacking]), f"{', '.join([*again, 'mend what is named'])}, and commit"
        )
    return found


def repeat(sealed: Bundle, root: Path, words: Sequence[str]) -> None:
    """Package once more with these options, elsewhere and from nothing but what was fetched: demand the same bytes.

    Raises ProjectError that names everything that came out otherwise: members, files in them, paths of the images.
    """
    from cdaf.bundles import why
    from cdaf.projects import elsewhere

    with elsewhere.package(sealed, root, words) as again:
        if again.sealed.identity == sealed.identity:
            progress.note(f"packaged twice, in unlike conditions: {sealed.identity} both times")
            return
        marks = {
            "the folder that it was made in": (str(root.resolve()), str(again.root)),
            "the host's name": (os.uname().nodename, elsewhere.HOST),
            "the user's name": (os.environ.get("USER", ""), elsewhere.USER),
        }
        found = why.explain(sealed, again.sealed, marks)
    raise ProjectError(faults(f"{sealed.path.name} cannot be reproduced", found.faults), found.hint)
