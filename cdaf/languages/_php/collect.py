"""The PHP language's second act: everything the lock names in the store."""

from __future__ import annotations

from urllib.parse import quote

from cdaf import languages
from cdaf.bundles.manifest import Dependency
from cdaf.languages._php import archive, fetching, generate, lockfile, resolve
from cdaf.languages._php import spread as spreads
from cdaf.languages._php.fetching import Held
from cdaf.languages._php.values import Package
from cdaf.net import http, transfers
from cdaf.projects.project import Project


def collect(project: Project, lock: languages.Lock) -> languages.Collection:
    """Fetch. Raises ProjectError when cdaf.lock is behind, ResolveError when something cannot be had."""
    packages = [each for each in resolve.of(lock) if each.kind != "meta" and wanted(project, each)]
    found = lockfile.read(project.root)
    early = generate.ahead(project, lock.pins, found, packages)
    with transfers.workers(1) as pool:
        writing = pool.submit(early) if early else None
        held = fetching.obtain(project, packages, lock.pins.archives)
        if writing:
            writing.result()
    for each in packages:
        archive.read(held[each.name].path, held[each.name].sha256, each.label, whole=each.is_written_anew)
    sealed = [each for each in packages if not each.dev or project.settings.smoke.group]
    have = {each.name.lower() for each in sealed}
    archives = [_archive(project, each, held[each.name], have) for each in sealed]
    return languages.Collection(lock, tuple(archives))


def wanted(project: Project, package: Package) -> bool:
    """Whether a package is needed: those of developers are, by checks that ask for them and by [build] commands."""
    return not package.dev or bool(project.settings.smoke.group or project.settings.build.run)


def spread(project: Project, package: Package, held: Held) -> spreads.Spread:
    """A package that no image has, but [build] commands do."""
    return spreads.of(package, _archive(project, package, held, set()))


def _archive(project: Project, package: Package, held: Held, have: set[str]) -> languages.Archive:
    dependency = Dependency(
        name=package.name,
        version=package.version,
        purl=f"pkg:composer/{package.name.lower()}@{quote(package.version, safe='')}",
        archive=member(package),
        sha256=held.sha256,
        platforms=tuple(sorted(project.settings.image.platforms)),
        group="dev" if package.dev else "main",
        url=_public(package, held),
        hash=held.hash or None,
        built_from=_origin(package, held),
        license=package.license or None,
        requires=tuple(name for name in package.requires if name in have),
    )
    return languages.Archive(held.path, dependency)


def _public(package: Package, held: Held) -> str | None:
    """The address in the lock, wherever the bytes came from."""
    urls = [url for url in (*package.urls, held.url) if url.startswith(("http://", "https://"))]
    return http.clean(urls[0]) if package.kind == "archive" and urls else None


def _origin(package: Package, held: Held) -> str | None:
    if package.kind == "git":
        return f"git+{http.clean(held.url)}@{package.commit}"
    return held.url if package.kind == "path" else None


def member(package: Package) -> str:
    """An archive's name in the bundle."""
    version = package.version.replace("/", "_").replace(" ", "_")
    form = "zip" if package.is_written_anew else package.form
    return f"deps/{package.name.lower()}-{version}.{form}"
