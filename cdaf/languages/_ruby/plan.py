"""Ruby's last act: what stands where in the image and in the checks' layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cdaf import languages
from cdaf.images.content import Content
from cdaf.images.plan import Entry, ImagePlan, Place, Plans, SmokePlan
from cdaf.languages._ruby import audit, collect, content, exclude, native, resolve, service
from cdaf.languages._ruby.content import Spread
from cdaf.languages._ruby.native import Part
from cdaf.languages._ruby.resolve import Read
from cdaf.languages._ruby.values import Target
from cdaf.languages._shared import exclude as shared
from cdaf.languages._shared import frame
from cdaf.languages._shared.frame import Generated
from cdaf.projects.project import Project

_PROBE = (
    "-rnet/http",
    "-e",
    "u = URI(ARGV[0]); o = { open_timeout: 4, read_timeout: 4 }; "
    "exit Net::HTTP.start(u.host, u.port, o) { |h| h.get(u.request_uri) }.is_a?(Net::HTTPSuccess)",
)


def plan(project: Project, collection: languages.Collection) -> languages.Planned:
    """Lay out every platform. Raises ResolveError, ProjectError."""
    lock, read = collection.lock, resolve.read(project)
    parts = collect.held(project, collection)
    generated: Generated = {}
    kept: dict[str, Content] = {}
    made = _made(project, collection, generated)
    images: list[ImagePlan] = []
    smoke: list[SmokePlan] = []
    laid: list[tuple[Target, Sequence[Spread]]] = []
    checks: list[tuple[Target, Sequence[Spread], Sequence[Spread]]] = []
    used: set[str] = set()
    for target in resolve.targets(project, lock.pins):
        spread = _spread(project, collection, parts, target)
        if target.smoke:
            checks.append((target, spread, ()))
            smoke.append(_checks(project, read, target, spread, generated, kept))
            continue
        main = [each for each in spread if target.platform in each.part.choice.main]
        main = exclude.apply(main, project.settings.image.exclude, used)
        laid.append((target, main))
        images.append(_image(project, read, target, main, made, generated, kept))
        if project.settings.smoke.checks and not project.settings.smoke.image:
            only = [each for each in spread if target.platform not in each.part.choice.main]
            checks.append((target, only, main))
            smoke.append(_checks(project, read, target, only, generated, kept))
    shared.tell_idle(project.settings.image.exclude, used)
    audit.demand(project, laid, checks, made, generated)
    return languages.Planned(Plans(1, tuple(images), tuple(smoke)), generated, kept)


def _spread(
    project: Project, collection: languages.Collection, parts: Mapping[str, Part], target: Target
) -> list[Spread]:
    own, place = collect.of_target(parts, target), native.bench(project, collection.lock.pins, target)
    built = native.built(place, own)
    return [Spread(part, built.get(name), specs=collect.evaluated(part, place)) for name, part in sorted(own.items())]


def _made(project: Project, collection: languages.Collection, generated: Generated) -> dict[str, Place]:
    if not project.settings.build.run:
        return {}
    from cdaf.languages._ruby import workshop
    from cdaf.languages._shared import commands

    return commands.places(workshop.outputs(project, collection.lock.pins), generated)


def _image(
    project: Project,
    read: Read,
    target: Target,
    spread: Sequence[Spread],
    made: Mapping[str, Place],
    generated: Generated,
    kept: dict[str, Content],
) -> ImagePlan:
    packages = {each.name: each for each in content.first_of_archives(spread)}
    commands = content.commands(spread)

    def entries(name: str) -> list[Entry]:
        return content.entries(packages[name], target, commands, generated, kept)

    without = resolve.left_out(project, read)
    layers = [
        frame.user_layer(project, target.base, generated),
        *frame.package_layers({name: each.size for name, each in packages.items()}, entries),
        frame.service_layer(project, service.entries(project, read, without, generated), made),
    ]
    return frame.image(project, target.base, layers, service.ENVIRONMENT, (target.base.facts.interpreter, *_PROBE))


def _checks(
    project: Project,
    read: Read,
    target: Target,
    spread: Sequence[Spread],
    generated: Generated,
    kept: dict[str, Content],
) -> SmokePlan:
    """The checks' layers on top of the image, or whole on a base of their own."""
    commands = content.commands(spread)
    only = content.first_of_archives(spread)
    entries = [entry for each in only for entry in content.entries(each, target, commands, generated, kept)]
    without = resolve.left_out(project, read, checks=True)
    bundle = (
        service.entries(project, read, without, generated)
        if target.smoke
        else [service.configuration(without, generated)]
    )
    return frame.checks(project, target.base, (*bundle, *entries), service.ENVIRONMENT, alone=target.smoke)
