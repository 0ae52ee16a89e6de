"""Node's last act: what stands where in the image and in the checks' layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cdaf import languages
from cdaf.images.content import Content
from cdaf.images.plan import Entry, ImagePlan, Layer, Place, Plans, SmokePlan
from cdaf.languages._node import audit, collect, exclude, layout, lockfile, resolve, scripts
from cdaf.languages._node.collect import Held
from cdaf.languages._node.layout import Made, Spread
from cdaf.languages._node.resolve import Chosen
from cdaf.languages._node.values import FOLDER, MODULES, Alias, Places, Target
from cdaf.languages._shared import exclude as shared
from cdaf.languages._shared import frame
from cdaf.languages._shared.frame import Generated
from cdaf.projects.pins import Pins
from cdaf.projects.project import Project

_PROBE = (
    "const g = require('http').get(process.argv[1], { timeout: 4000 });"
    " g.on('response', (r) => process.exit(r.statusCode < 400 ? 0 : 1));"
    " g.on('error', () => process.exit(1)); g.on('timeout', () => process.exit(1))"
)
_MANIFEST = "package.json"


class _Work(msgspec.Struct):
    """What the plans of all platforms share, and what comes together while they are made."""

    project: Project
    chosen: Chosen
    held: list[Held]
    places: Places
    outputs: Mapping[str, Place]
    generated: Generated
    kept: dict[str, Content]
    used: set[str]


def plan(project: Project, collection: languages.Collection) -> languages.Planned:
    """Lay out every platform. Raises ResolveError for native files that the base cannot load."""
    chosen = resolve.of(collection.lock)
    held = collect.held(chosen.choices, collection.archives)
    generated: Generated = {}
    outputs = _outputs(project, collection.lock.pins, generated)
    work = _Work(project, chosen, held, resolve.places(project), outputs, generated, {}, set())
    images: list[ImagePlan] = []
    smoke: list[SmokePlan] = []
    laid: list[tuple[Target, Sequence[Spread]]] = []
    checks: list[tuple[Target, Sequence[Spread], Sequence[Spread]]] = []
    for target in resolve.targets(project, collection.lock.pins):
        spread: list[Spread] = []
        if not target.smoke:
            spread = _spread(work, target, collection.lock.pins)
            laid.append((target, spread))
            images.append(_image(work, target, spread))
        if project.settings.smoke.checks and target.smoke == bool(project.settings.smoke.image):
            checks.append((target, _checked(work, target, collection.lock.pins), spread))
            smoke.append(_checks(work, target, checks[-1][1]))
    shared.tell_idle(project.settings.image.exclude, work.used)
    audit.demand(project, laid, checks, outputs, generated)
    told = lockfile.table(project.root / "package.json").get("license")
    plans, license_ = Plans(1, tuple(images), tuple(smoke)), told if isinstance(told, str) else ""
    return languages.Planned(plans, generated, work.kept, license=license_)


def _outputs(project: Project, pins: Pins, generated: Generated) -> Mapping[str, Place]:
    if not project.settings.build.run:
        return {}
    from cdaf.languages._node import workshop
    from cdaf.languages._shared import commands

    return commands.places(workshop.outputs(project, pins), generated)


def _spread(work: _Work, target: Target, pins: Pins) -> list[Spread]:
    """The image's packages at their places, install scripts' work among them, less what is excluded."""
    project = work.project
    held = [each for each in work.held if target.platform in each.choice.main]
    aliases = _aliases(work, target, smoke=False)
    made = _scripted(work, held, aliases, target, pins)
    own = {*(each.name for each in project.files), *work.outputs}
    taken = frozenset(f"{FOLDER}/{name}" for name in own)
    spread = layout.spreads(held, aliases, work.places, taken=taken, made=made)
    if not project.settings.image.exclude:
        return spread
    spread = exclude.apply(spread, project.settings.image.exclude, work.used)
    return layout.with_programs(spread, aliases, work.places)


def _scripted(
    work: _Work, held: Sequence[Held], aliases: Sequence[Alias], target: Target, pins: Pins
) -> dict[str, tuple[Made, ...]]:
    if not work.project.settings.node.scripts:
        return {}
    plain = layout.spreads(held, aliases, work.places)
    return scripts.made(work.project, pins, held, plain, aliases, target)


def _aliases(work: _Work, target: Target, *, smoke: bool) -> list[Alias]:
    return [each for each in work.chosen.aliases if target.platform in (each.smoke if smoke else each.main)]


def _image(work: _Work, target: Target, spread: Sequence[Spread]) -> ImagePlan:
    project = work.project
    packages: dict[str, list[Spread]] = {}
    for each in spread:
        if each.choice.kind != "folder":
            packages.setdefault(each.archive, []).append(each)
    sizes = {name: those[0].held.archive.path.stat().st_size for name, those in packages.items()}
    local = [entry for each in spread if each.choice.kind == "folder" for entry in _entries(work, each)]
    layers = [
        frame.user_layer(project, target.base, work.generated),
        *frame.package_layers(sizes, lambda name: (entry for each in packages[name] for entry in _entries(work, each))),
        Layer("workspaces", (*layout.links(_aliases(work, target, smoke=False), work.places), *local)),
        frame.service_layer(project, _manifest(work), work.outputs),
    ]
    return frame.image(project, target.base, layers, environment(work.places), _probe(target))


def _entries(work: _Work, spread: Spread) -> list[Entry]:
    return layout.entries(spread, work.generated, work.kept)


def _manifest(work: _Work) -> list[Entry]:
    """The service's package.json, which Node reads and nobody needs to name."""
    path = work.project.root / _MANIFEST
    if not path.is_file() or _MANIFEST in {*(each.name for each in work.project.files), *work.outputs}:
        return []
    return [Place(frame.generate(work.generated, _MANIFEST, path.read_bytes(), "service"), f"{FOLDER}/{_MANIFEST}")]


def _checked(work: _Work, target: Target, pins: Pins) -> list[Spread]:
    """The checks' own packages at their places."""
    held = [each for each in work.held if target.platform in each.choice.smoke]
    aliases = _aliases(work, target, smoke=True)
    made = _scripted(work, held, aliases, target, pins) if target.smoke else {}
    return layout.spreads(held, aliases, work.places, made=made)


def _checks(work: _Work, target: Target, spread: Sequence[Spread]) -> SmokePlan:
    """The checks' layers on top of the image, or whole on a base of their own."""
    project, aliases = work.project, _aliases(work, target, smoke=True)
    entries = [*layout.links(aliases, work.places), *(entry for each in spread for entry in _entries(work, each))]
    return frame.checks(
        project,
        target.base,
        entries,
        environment(work.places),
        alone=target.smoke,
        own=_manifest(work) if target.smoke else (),
        there=work.outputs,
    )


def environment(places: Places) -> dict[str, str]:
    """What a process in the image knows of Node."""
    folders = dict.fromkeys((f"{FOLDER}/{MODULES}/.bin", f"{places.modules}/.bin"))
    return {"NODE_ENV": "production", "PATH": ":".join((*folders, frame.SYSTEM_PATH))}


def _probe(target: Target) -> tuple[str, ...]:
    return (target.base.facts.interpreter, "-e", _PROBE)
