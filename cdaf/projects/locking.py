"""Writing `cdaf.lock`: bases with their facts, sidecars by digest, build requirements by hash."""

from pathlib import Path

import msgspec

from cdaf import languages, progress
from cdaf.errors import ProjectError, faults
from cdaf.projects import pins
from cdaf.projects.pins import Base, Pins, Sidecar
from cdaf.projects.project import Project
from cdaf.settings import config
from cdaf.testing import stack


def ensure(project: Project, *, locked: bool = False) -> Pins:
    """The project's pins, written first when there are none.

    Raises ProjectError when they lack something that `cdaf.toml` asks for, or when `locked` and there are none.
    """
    found = pins.read(path(project))
    if found is None and locked:
        raise ProjectError(f"{pins.NAME} is missing, and --locked asks for it", "run `cdaf lock`, and commit the file")
    if found is None:
        made = make(project, None)
        pins.write(made, path(project))
        progress.warn(f"wrote {pins.NAME}: commit this file, so that every machine packages the same")
        return made
    stale = lacking(project, found)
    if stale:
        _demand_declared(project, found)
        raise ProjectError(faults(pins.NAME, stale), "run `cdaf lock`, and commit the file")
    return found


def _demand_declared(project: Project, found: Pins) -> None:
    """Raise ProjectError for a platform of the command line that the file does not have: locking would not pin it."""
    declared = config.read(project.root).settings.image.platforms
    pinned = {base.platform for base in found.bases}
    unknown = [each for each in project.settings.image.platforms if each not in declared and each not in pinned]
    if unknown:
        raise ProjectError(
            f"{' and '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} not among image.platforms in "
            f"{project.file.name}: {', '.join(declared)}",
            f"add {' and '.join(unknown)} to image.platforms, then run `cdaf lock`",
        )


def demand_native(project: Project) -> None:
    """Raise ProjectError with every fault of the native lock, before anything is read from elsewhere."""
    language = languages.load(project.language)
    wrong = language.check(project)
    if wrong:
        ways = [*filter(None, [languages.relocking(language)]), "mend what is named"]
        raise ProjectError(faults(project.name, wrong), f"{', '.join(ways)}, and commit")


def path(project: Project) -> Path:
    """Where the project's `cdaf.lock` is."""
    return project.root / pins.NAME


def lacking(project: Project, found: Pins) -> list[str]:
    """What the project asks for and the lock does not pin."""
    have = {(base.reference, base.platform) for base in found.bases}
    known = {sidecar.reference for sidecar in found.sidecars}
    bases = [f"no pin of {ref} for {platform}" for ref, platform in _bases(project) if (ref, platform) not in have]
    return bases + [f"no pin of sidecar {ref}" for ref in _sidecars(project) if ref not in known]


def make(project: Project, old: Pins | None, *, upgrade: bool = False) -> Pins:
    """Pins for all that the project asks for; what `old` pins stays, unless `upgrade`.

    Raises ProjectError for a native lock that is wrong in itself, before any image is read.
    """
    from cdaf.bases import facts
    from cdaf.net import transfers

    demand_native(project)
    kept = Pins() if old is None or upgrade else old
    bases = {(base.reference, base.platform): base for base in kept.bases}
    sidecars = {sidecar.reference: sidecar for sidecar in kept.sidecars}
    language = languages.load(project.language)

    def base(wanted: tuple[str, str]) -> Base:
        return bases.get(wanted) or languages.asked(project, facts.read_base(*wanted, language.INTERPRETER))

    def sidecar(reference: str) -> Sidecar:
        return sidecars.get(reference) or facts.sidecar(reference)

    with transfers.workers(4) as pool:
        found = tuple(pool.map(base, _bases(project)))
        beside = tuple(pool.map(sidecar, _sidecars(project)))
    image = base_of(project)
    made = Pins(bases=found, sidecars=beside, builds=kept.builds)
    known = {each.platform: each.facts for each in found if each.reference == image}
    archives = language.pin_archives(project, kept.archives)
    return msgspec.structs.replace(made, builds=language.pin(project, known), archives=archives)


def base_of(project: Project) -> str:
    """The base image that the project stands on, by default the language's."""
    return project.settings.image.base or languages.load(project.language).BASE


def _bases(project: Project) -> list[tuple[str, str]]:
    settings = project.settings
    wanted = [base_of(project), settings.smoke.image, settings.build.image, *languages.images(project)]
    references = sorted({reference for reference in wanted if reference})
    return [(reference, platform) for reference in references for platform in settings.image.platforms]


def _sidecars(project: Project) -> list[str]:
    declared = {*project.settings.smoke.sidecars, *stack.images([file.path for file in project.compose])}
    return sorted(declared)
