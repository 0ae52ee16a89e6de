"""The Python language's last act: what stands where in the image and in the checks' layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from cdaf import languages
from cdaf.images import grouping
from cdaf.images.content import Content, of_bytes, of_file
from cdaf.images.plan import BasePin, Config, Dir, Entry, Health, ImagePlan, Layer, Link, Place, Plans, SmokePlan
from cdaf.languages._python import audit, bytecode, content, exclude, resolve, user, venv
from cdaf.languages._python.content import Generated, Spread
from cdaf.languages._python.values import VENV, Choice, Target
from cdaf.projects.project import File, Project

FOLDER = "/app"
_PROBE = "import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=4)"


def plan(project: Project, collection: languages.Collection) -> languages.Planned:
    """Lay out every platform. Raises ResolveError when two packages want one path."""
    choices = resolve.of(collection.lock)
    generated: Generated = {}
    targets = resolve.targets(project, collection.lock.pins)
    made = _made(project, collection, generated)
    images: list[ImagePlan] = []
    smoke = []
    laid: list[tuple[Target, list[Spread]]] = []
    used: set[str] = set()
    for target in targets:
        if target.smoke:
            smoke.append(_checks(project, collection, choices, target, (), generated))
            continue
        chosen = [choice for choice in choices if target.platform in choice.main]
        spread = content.spreads(project.root, chosen, collection.archives, target)
        spread = exclude.apply(spread, project.settings.image.exclude, target, used)
        laid.append((target, spread))
        images.append(_image(project, target, spread, made, generated))
        if project.settings.smoke.checks and not project.settings.smoke.image:
            smoke.append(_checks(project, collection, choices, target, spread, generated))
    exclude.tell_idle(project.settings.image.exclude, used)
    audit.demand(project, laid, made, generated, FOLDER)
    kept: dict[str, Content] = {}
    if project.settings.image.bytecode:
        contents = _contents(project, collection, generated)
        images, kept = bytecode.add(images, [target for target, _ in laid], contents)
    return languages.Planned(Plans(1, tuple(images), tuple(smoke)), generated, kept)


def _contents(project: Project, collection: languages.Collection, generated: Generated) -> dict[str, Content]:
    """What the layers hold of archives and of sources."""
    found = {each.dependency.archive: of_file(each.path, each.dependency.sha256) for each in collection.archives}
    found |= {f"app/{each.name}": of_file(each.path) for each in project.files if bytecode.compiles(each.name)}
    return found | {name: of_bytes(data) for name, data in generated.items() if bytecode.compiles(name)}


def _made(project: Project, collection: languages.Collection, generated: Generated) -> dict[str, Place]:
    """What [build] commands made, by name; it goes before a tracked file of the same name."""
    if not project.settings.build.run:
        return {}
    from cdaf.languages._python import commands

    found = {}
    for each in commands.outputs(project, collection.lock.pins):
        member = content.generate(generated, f"build/{each.name}", each.path.read_bytes(), "build")
        found[each.name] = Place(member, f"{FOLDER}/{each.name}", 0o755 if each.executable else 0o644)
    return found


def _image(
    project: Project, target: Target, spread: Sequence[Spread], made: Mapping[str, Place], generated: Generated
) -> ImagePlan:
    again = content.repeated(spread, (), target)
    own = [each for each in spread if each.own]
    layers = [
        _user_layer(project, target, generated),
        *_package_layers([each for each in spread if not each.own], target, again, generated),
        Layer(
            "service",
            (
                *(entry for each in own for entry in content.entries(each, target, again, generated)),
                *(_file(each, "app") for each in project.files if each.name not in made),
                *made.values(),
            ),
        ),
    ]
    pin = BasePin(target.base.reference, target.base.digest)
    created = datetime.fromtimestamp(project.source.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kept = tuple(layer for layer in layers if layer.entries)
    config = _config(project, target, created)
    return ImagePlan(target.platform, pin, kept, config, created, project.settings.image.compression)


def _user_layer(project: Project, target: Target, generated: Generated) -> Layer:
    owner, state = project.settings.service.user, project.settings.service.state
    suffix = target.platform
    passwd = content.generate(generated, "passwd", user.passwd(target.base, owner), suffix)
    group = content.generate(generated, "group", user.group(target.base, owner), suffix)
    folders = tuple(Dir(path, uid=owner.id, gid=owner.id) for path in sorted(state))
    files = (Place(passwd, "/etc/passwd"), Place(group, "/etc/group"), *content.skeleton(target, generated))
    return Layer("user", (*files, Dir(FOLDER), *folders))


def _package_layers(
    spread: Sequence[Spread], target: Target, again: dict[str, set[str]], generated: Generated
) -> list[Layer]:
    known = {each.choice.name: each for each in spread}
    groups = grouping.group({name: each.size for name, each in known.items()})
    return [
        Layer(title, tuple(entry for name in names for entry in content.entries(known[name], target, again, generated)))
        for title, names in groups.items()
    ]


def _file(file: File, folder: str) -> Entry:
    path = f"{FOLDER}/{file.name}"
    return (
        Link(path, file.link)
        if file.link
        else Place(f"{folder}/{file.name}", path, 0o755 if file.executable else 0o644)
    )


def _checks(
    project: Project,
    collection: languages.Collection,
    choices: Sequence[Choice],
    target: Target,
    before: Sequence[Spread],
    generated: Generated,
) -> SmokePlan:
    """The checks' layers on top of the image, or whole on a base of their own."""
    chosen = [choice for choice in choices if target.platform in choice.smoke]
    spread = content.spreads(project.root, chosen, collection.archives, target)
    again = content.repeated(spread, before, target)
    entries = [entry for each in spread for entry in content.entries(each, target, again, generated)]
    placed = set() if target.smoke else {file.name for file in project.files}
    files = tuple(_file(file, "smoke") for file in project.checks if file.name not in placed)
    skeleton = content.skeleton(target, generated) if target.smoke else ()
    layers = (Layer("smoke dependencies", (*skeleton, *entries)), Layer("smoke", files))
    return SmokePlan(
        target.platform,
        tuple(layer for layer in layers if layer.entries),
        {**_environment(target), **project.settings.service.env} if target.smoke else {},
        FOLDER,
        BasePin(target.base.reference, target.base.digest) if target.smoke else None,
    )


def _config(project: Project, target: Target, created: str) -> Config:
    service = project.settings.service
    return Config(
        command=service.start,
        environment={**_environment(target), **service.env},
        user=f"{service.user.id}:{service.user.id}",
        folder=FOLDER,
        port=service.port,
        labels=_labels(project, target, created),
        health=_health(project),
    )


def _environment(target: Target) -> dict[str, str]:
    return {"PATH": venv.search_path(target), "PYTHONUNBUFFERED": "1", "VIRTUAL_ENV": VENV}


def _labels(project: Project, target: Target, created: str) -> dict[str, str]:
    """The standard annotations as labels (OCI image-spec, annotations.md)."""
    told = {
        "title": project.name,
        "version": project.version.semver,
        "created": created,
        "revision": project.source.commit or "",
        "source": project.source.repository or "",
        "base.name": target.base.reference,
        "base.digest": target.base.digest,
    }
    return {f"org.opencontainers.image.{name}": value for name, value in sorted(told.items()) if value}


def _health(project: Project) -> Health | None:
    port, path = project.settings.service.port, project.settings.smoke.health
    if port is None or path is None:
        return None
    return Health((f"{VENV}/bin/python", "-I", "-c", _PROBE, f"http://127.0.0.1:{port}/{path.lstrip('/')}"))
