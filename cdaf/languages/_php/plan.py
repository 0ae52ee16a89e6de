"""The PHP language's last act: what stands where in the image and in the checks' layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cdaf import languages
from cdaf.images.content import Content, of_bytes, of_file
from cdaf.images.plan import Entry, ImagePlan, Layer, Place, Plans, SmokePlan
from cdaf.languages._php import audit, exclude, generate, lockfile, resolve, spread
from cdaf.languages._php.spread import Spread
from cdaf.languages._shared import frame
from cdaf.languages._shared.frame import Generated
from cdaf.projects import pins as pinned
from cdaf.projects.locking import base_of
from cdaf.projects.pins import Base
from cdaf.projects.project import Project

_PROBE = ("-r", "exit(@file_get_contents($argv[1]) === false ? 1 : 0);")


def plan(project: Project, collection: languages.Collection) -> languages.Planned:
    """Lay out every platform: the same files on all, for packages of PHP are for any."""
    made = _made(project, collection)
    spreads = exclude.apply(_spreads(collection, dev=False), project.settings.image.exclude)
    kept = dict(made.kept)
    own = _own(project, made.places, made.generated)
    platforms = project.settings.image.platforms
    bases = [_base(project, collection, each) for each in platforms]
    checked = _checked(project, collection, spreads)
    other = project.settings.smoke.image
    checks = [_base(project, collection, each, other) for each in platforms if checked is not None]
    audit.demand(project, bases, spreads, (checks, _laid(project, checked or ())), made.places, made.generated)
    main, contents = _written(project, collection, spreads, own, dev=False)
    kept |= contents
    images = tuple(_image(project, each, spreads, main, made) for each in bases)
    smoke: tuple[SmokePlan, ...] = ()
    if project.settings.smoke.checks:
        laid: list[Entry] = []
        if checked is not None:
            laid, more = _checks(project, collection, checked, own, made.generated)
            kept |= more
        smoke = tuple(_smoke(project, collection, each, laid) for each in platforms)
    license_ = lockfile.license_of(project.root)
    return languages.Planned(Plans(1, images, smoke), made.generated, kept, license=license_)


class Made(msgspec.Struct, frozen=True):
    """What [build] commands made, and the members that hold it and all else that is small."""

    places: dict[str, Place]
    generated: Generated
    kept: dict[str, Content] = {}


def _made(project: Project, collection: languages.Collection) -> Made:
    generated: Generated = {}
    if not project.settings.build.run:
        return Made({}, generated)
    from cdaf.languages._php import workshop
    from cdaf.languages._shared import commands

    return Made(commands.places(workshop.outputs(project, collection), generated), generated)


def _spreads(collection: languages.Collection, *, dev: bool) -> list[Spread]:
    packages = {each.name: each for each in resolve.of(collection.lock)}
    found = []
    for sealed in collection.archives:
        package = packages[sealed.dependency.name]
        if dev or not package.dev:
            found.append(spread.of(package, sealed))
    return found


def _own(project: Project, made: Mapping[str, Place], generated: Generated) -> dict[str, Content]:
    """The service's PHP files, where the autoloader depends on what they declare."""
    if not generate.needs_sources(lockfile.read(project.root)):
        return {}
    found = {each.name: of_file(each.path) for each in project.files if _is_php(each.name) and not each.link}
    return found | {name: of_bytes(generated[place.member]) for name, place in made.items() if _is_php(name)}


def _is_php(name: str) -> bool:
    return name.endswith((".php", ".inc", ".hh"))


def _written(
    project: Project,
    collection: languages.Collection,
    spreads: Sequence[Spread],
    own: Mapping[str, Content],
    *,
    dev: bool,
) -> tuple[list[Place], dict[str, Content]]:
    """What Composer writes for these packages."""
    found, pins = lockfile.read(project.root), collection.lock.pins
    read = generate.reads(project, found, [each.package for each in spreads])
    names = tuple(sorted(each.package.name for each in spreads))
    laid = tuple(each for each in spreads if each.package.name in read)
    return generate.places(
        generate.outputs(project, pins, found, generate.Set(names, laid, dev, generate.php(project, pins), own))
    )


def _image(project: Project, base: Base, spreads: Sequence[Spread], written: Sequence[Place], made: Made) -> ImagePlan:
    named = {each.package.name: each for each in spreads}
    layers = [
        frame.user_layer(project, base, made.generated),
        *frame.package_layers(
            {name: each.archive.path.stat().st_size for name, each in named.items()},
            lambda name: spread.entries(named[name], made.generated),
        ),
        Layer("autoloader", tuple(written)),
        frame.service_layer(project, (), made.places),
    ]
    probe = (base.facts.interpreter or "php", *_PROBE)
    return frame.image(project, base, layers, {}, probe)


def _base(project: Project, collection: languages.Collection, name: str, reference: str | None = None) -> Base:
    return pinned.base(collection.lock.pins, reference or base_of(project), name)


def _checked(project: Project, collection: languages.Collection, spreads: Sequence[Spread]) -> list[Spread] | None:
    """All packages that the checks see, those of developers among them; None when they see what the image has."""
    dev = project.settings.smoke.group is not None
    whole = project.settings.smoke.image is not None
    if not project.settings.smoke.checks or not (dev or whole):
        return None
    listed = _spreads(collection, dev=dev)
    image = {} if whole else {each.package.name: each for each in spreads}
    return [image.get(each.package.name, each) for each in listed]


def _laid(project: Project, checked: Sequence[Spread]) -> list[Spread]:
    """Of the checks' packages those that the image does not have; on a base of their own all."""
    return [each for each in checked if project.settings.smoke.image or each.package.dev]


def _checks(
    project: Project,
    collection: languages.Collection,
    checked: Sequence[Spread],
    own: Mapping[str, Content],
    generated: Generated,
) -> tuple[list[Entry], dict[str, Content]]:
    """What the checks have beside the image's own packages: those of developers, on a base of their own all."""
    written, contents = _written(project, collection, checked, own, dev=project.settings.smoke.group is not None)
    laid = [entry for each in _laid(project, checked) for entry in spread.entries(each, generated)]
    return [*laid, *written], contents


def _smoke(project: Project, collection: languages.Collection, name: str, laid: Sequence[Entry]) -> SmokePlan:
    own = project.settings.smoke.image
    return frame.checks(project, _base(project, collection, name, own), laid, {}, alone=own is not None)
