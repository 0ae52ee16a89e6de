"""The Python language's second act: everything the lock names in the store, built where it must be."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path

from cdaf import languages, progress, store
from cdaf.bundles.manifest import Dependency
from cdaf.errors import ProjectError, ResolveError
from cdaf.errors import faults as listed
from cdaf.languages._python import access, build, buildenv, bytecode, requirements, resolve, source, wheel
from cdaf.languages._python.bench import Bench
from cdaf.languages._python.build import Made
from cdaf.languages._python.source import Source
from cdaf.languages._python.values import Choice, Target
from cdaf.net import fetch, transfers
from cdaf.projects import pins as pinned
from cdaf.projects.pins import Build, Pins
from cdaf.projects.project import Project

_BUILDERS = 2


def collect(project: Project, lock: languages.Lock) -> languages.Collection:
    """Fetch and build. Raises ProjectError when cdaf.lock is behind, ResolveError when something cannot be had."""
    archives = obtain(project, lock.pins, resolve.of(lock), resolve.targets(project, lock.pins))
    if project.settings.build.run:
        from cdaf.languages._python import workshop

        workshop.outputs(project, lock.pins)
    return languages.Collection(lock, tuple(archives))


def obtain(project: Project, pins: Pins, choices: Sequence[Choice], goals: Sequence[Target]) -> list[languages.Archive]:
    """The archives of these choices, fetched or built."""
    building = [choice for choice in choices if choice.kind != "wheel"]
    behind = requirements.faults(building, pins)
    if behind:
        raise ProjectError(listed("cdaf.lock", behind), "run `cdaf lock`")
    headers = access.headers(project)
    wheels = {choice.url: choice for choice in choices if choice.kind == "wheel"}
    wants = [resolve.want(choice) for choice in choices if choice.url and choice.kind != "git"]

    if project.settings.image.bytecode and not all(_is_here(choice) for choice in wheels.values()):
        bytecode.ahead(goals)
    arrivals: dict[str, Future[fetch.Got]] = {choice.url: Future() for choice in building if choice.url}

    def arrived(got: fetch.Got) -> None:
        if got.want.url in wheels:
            _read(wheels[got.want.url], goals, got.path, got.sha256)
        if got.want.url in arrivals:
            arrivals[got.want.url].set_result(got)

    with transfers.workers(_BUILDERS) as pool:
        building_now = _build(pool, project, pins, building, arrivals, headers, goals)
        try:
            got = fetch.fetch(wants, headers, arrived)
        finally:
            for each in arrivals.values():
                each.cancel()  # of what has not come; nobody may wait for it any longer
        archives = [_fetched(choice, got[choice.url], goals) for choice in wheels.values()]
        archives += [archive for each in building_now for archive in each.result()]
    _one_name_each(archives)
    return sorted(archives, key=lambda each: (each.dependency.name, each.dependency.version, each.dependency.archive))


def _is_here(choice: Choice) -> bool:
    """Whether a wheel need not be fetched, as far as its hash tells."""
    return "sha256" not in choice.hashes or store.has(fetch.KIND, choice.hashes["sha256"])


def _read(choice: Choice, goals: Sequence[Target], path: Path, sha256: str) -> list[wheel.Reading]:
    """Read a wheel for every Python it is spread for, so that an unfit one is refused before anything is planned."""
    pythons = sorted({goal.python for goal in goals if goal.platform in choice.platforms})
    return [wheel.read(path, sha256, choice.filename, python) for python in pythons]


def _fetched(choice: Choice, got: fetch.Got, goals: Sequence[Target]) -> languages.Archive:
    algorithm, value = next(iter(choice.hashes.items()))
    url = choice.url if "://" in choice.url and not choice.url.startswith("file:") else None
    dependency = _dependency(choice, choice.filename, got.sha256, choice.version, choice.platforms)
    readings = _read(choice, goals, got.path, got.sha256)
    told = next((each.license for each in readings), "") or None
    return languages.Archive(got.path, _with(dependency, url=url, hash=f"{algorithm}:{value}", license=told))


def _build(
    pool: Executor,
    project: Project,
    pins: Pins,
    building: Sequence[Choice],
    arrivals: Mapping[str, Future[fetch.Got]],
    headers: fetch.Headers,
    goals: Sequence[Target],
) -> list[Future[list[languages.Archive]]]:
    """Begin to build what was not built before from the same inputs, each as soon as its source is here."""
    builds = {each.key: each for each in pins.builds}

    def one(choice: Choice) -> list[languages.Archive]:
        came = arrivals[choice.url].result() if choice.kind == "sdist" else None
        made = _wheels(project, choice, builds[choice.key], came, headers, goals, pins)
        return [_archive(project, choice, each, platforms, goals) for each, platforms in made.items()]

    # Folders first: a builder that waits for a download would keep them waiting too.
    return [pool.submit(one, choice) for choice in sorted(building, key=lambda each: each.kind == "sdist")]


def _wheels(
    project: Project,
    choice: Choice,
    pinned: Build,
    got: fetch.Got | None,
    headers: fetch.Headers,
    goals: Sequence[Target],
    pins: Pins,
) -> dict[Made, tuple[str, ...]]:
    """The wheel or wheels of one choice, each with its platforms."""
    origin, told = source.of(choice, got), resolve.told(project, choice)
    made = build.known(choice, origin, pinned, told)
    if made is not None and build.is_pure(made.filename):
        return {made: choice.platforms}
    benches = _benches(project, choice, goals, pins)
    native = [(bench.target.platform, build.known(choice, origin, pinned, told, bench.key)) for bench in benches]
    if all(each for _, each in native):
        return _by_platform((platform, each) for platform, each in native if each)
    if project.settings.image.bytecode:
        bytecode.ahead(goals)
    fetch.fetch(buildenv.wants(pinned.requires), headers)
    with progress.step(f"building {choice.name}"):
        return _make(project, choice, origin, pinned, goals, pins)


def _make(
    project: Project, choice: Choice, origin: Source, pinned: Build, goals: Sequence[Target], pins: Pins
) -> dict[Made, tuple[str, ...]]:
    """On this machine first, for what comes out pure serves every platform; else in the image of each platform."""
    told = resolve.told(project, choice)
    if buildenv.runs_here(pinned.requires):
        try:
            made = build.known(choice, origin, pinned, told) or build.on_host(choice, origin, pinned, told)
        except ResolveError:
            # What this machine lacks, the image that the user named for builds may have.
            if project.settings.build.image is None:
                raise
        else:
            if build.is_pure(made.filename):
                return {made: choice.platforms}
    from cdaf.languages._python import native

    benches = _benches(project, choice, goals, pins)
    native.refuse_foreign(choice, benches)
    built = ((bench.target.platform, native.in_image(choice, origin, pinned, told, bench)) for bench in benches)
    return _by_platform(built)


def _by_platform(made: Iterable[tuple[str, Made]]) -> dict[Made, tuple[str, ...]]:
    found: dict[Made, tuple[str, ...]] = {}
    for platform, each in made:
        found[each] = tuple(sorted({*found.get(each, ()), platform}))
    return found


def _benches(project: Project, choice: Choice, goals: Sequence[Target], pins: Pins) -> list[Bench]:
    """The images to build in, one for each environment that needs the choice."""
    wanted = [goal for goal in goals if goal.platform in (choice.smoke if goal.smoke else choice.main)]
    if not any(goal.smoke for goal in goals):
        wanted = [goal for goal in goals if goal.platform in choice.platforms]
    reference = project.settings.build.image
    if reference is None:
        return [Bench(goal, goal.base.reference, goal.base.digest) for goal in wanted]
    return [Bench(goal, reference, pinned.base(pins, reference, goal.platform).digest) for goal in wanted]


def _archive(
    project: Project, choice: Choice, made: Made, platforms: tuple[str, ...], goals: Sequence[Target]
) -> languages.Archive:
    version = told = ""
    for python in sorted({goal.python for goal in goals if goal.platform in platforms}):
        reading = wheel.read(made.path, made.sha256, made.filename, python)
        version, told = reading.version, reading.license
    dependency = _dependency(choice, made.filename, made.sha256, version or choice.version, platforms)
    return languages.Archive(made.path, _with(dependency, built_from=_origin(project, choice), license=told or None))


def _origin(project: Project, choice: Choice) -> str:
    """Where a source came from, without a path of this machine."""
    below = f"#subdirectory={choice.subdirectory}" if choice.subdirectory else ""
    if choice.kind == "git":
        return f"git+{choice.url}@{choice.commit}{below}"
    if choice.kind == "directory":
        return os.path.relpath(choice.directory, project.repository) + below
    algorithm, value = next(iter(choice.hashes.items()))
    place = choice.url if "://" in choice.url and not choice.url.startswith("file:") else choice.filename
    return f"{place}#{algorithm}={value}"


def _dependency(choice: Choice, filename: str, sha256: str, version: str, platforms: tuple[str, ...]) -> Dependency:
    from urllib.parse import quote

    return Dependency(
        name=choice.name,
        version=version,
        purl=f"pkg:pypi/{choice.name}@{quote(version, safe='')}",
        archive=f"deps/{filename}",
        sha256=sha256,
        platforms=platforms,
        group="main" if choice.main else "smoke",
        requires=choice.requires,
    )


def _with(dependency: Dependency, **changes: str | None) -> Dependency:
    import msgspec

    return msgspec.structs.replace(dependency, **changes)


def _one_name_each(archives: Sequence[languages.Archive]) -> None:
    """Two archives of one file name and other bytes have no two places in a bundle."""
    seen: dict[str, languages.Archive] = {}
    for archive in archives:
        other = seen.setdefault(archive.dependency.archive, archive)
        if other.dependency.sha256 != archive.dependency.sha256:
            raise ResolveError(
                f"{archive.dependency.archive} is two different archives in uv.lock",
                "lock one version for all platforms",
            )
