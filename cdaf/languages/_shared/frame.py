"""What every image has, whatever its language: the user, the service's own files, labels, the commit's time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from cdaf.images import grouping
from cdaf.images.plan import BasePin, Config, Dir, Entry, Health, ImagePlan, Layer, Link, Place, SmokePlan
from cdaf.languages._shared import user
from cdaf.projects.pins import Base
from cdaf.projects.project import File, Project

FOLDER = "/app"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Generated = dict[str, bytes]  # small files that plans place, by bundle member name


def generate(generated: Generated, name: str, data: bytes, variant: str) -> str:
    """Keep a small file that plans place and return its member; equal ones share one, `variant` tells others apart."""
    member = f"generated/{name}"
    if generated.setdefault(member, data) != data:
        member = f"generated/{variant}/{name}"
        if generated.setdefault(member, data) != data:
            raise AssertionError(f"two files want to be {member}")
    return member


def user_layer(project: Project, base: Base, generated: Generated, more: Sequence[Entry] = ()) -> Layer:
    """The first layer: passwd and group with the service's user, what the language adds, /app and the state folders."""
    owner, state = project.settings.service.user, project.settings.service.state
    passwd = generate(generated, "passwd", user.passwd(base, owner), base.platform)
    group = generate(generated, "group", user.group(base, owner), base.platform)
    folders = tuple(Dir(path, uid=owner.id, gid=owner.id) for path in sorted(state))
    return Layer("user", (Place(passwd, "/etc/passwd"), Place(group, "/etc/group"), *more, Dir(FOLDER), *folders))


def package_layers(sizes: Mapping[str, int], entries: Callable[[str], Iterable[Entry]]) -> list[Layer]:
    """Packages in about ten layers; `sizes` are their archives' in bytes, `entries` say how one of them is placed."""
    return [
        Layer(title, tuple(entry for name in names for entry in entries(name)))
        for title, names in grouping.group(sizes).items()
    ]


def service_layer(project: Project, own: Iterable[Entry], made: Mapping[str, Place]) -> Layer:
    """The last layer: what the service itself became, its tracked files, and what [build] made, which goes before."""
    tracked = (placed(each, "app") for each in project.files if each.name not in made)
    return Layer("service", (*own, *tracked, *made.values()))


def placed(file: File, folder: str) -> Entry:
    """Where a tracked file stands; `folder` is that of the bundle that holds it, `app` or `smoke`."""
    path = f"{FOLDER}/{file.name}"
    if file.link:
        return Link(path, file.link)
    return Place(f"{folder}/{file.name}", path, 0o755 if file.executable else 0o644)


def image(
    project: Project, base: Base, layers: Sequence[Layer], environment: Mapping[str, str], probe: tuple[str, ...] = ()
) -> ImagePlan:
    """The plan of one platform; empty layers are left out. `probe` is a command that fetches the URL after it."""
    service = project.settings.service
    created = datetime.fromtimestamp(project.source.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = Config(
        command=service.start,
        environment={**environment, **service.env},
        user=f"{service.user.id}:{service.user.id}",
        folder=FOLDER,
        port=service.port,
        labels=labels(project, base, created),
        health=_health(project, probe),
    )
    kept = tuple(layer for layer in layers if layer.entries)
    return ImagePlan(base.platform, pin(base), kept, config, created, project.settings.image.compression)


def checks(
    project: Project,
    base: Base,
    entries: Iterable[Entry],
    environment: Mapping[str, str],
    *,
    alone: bool,
    own: Sequence[Entry] = (),
    there: Collection[str] = (),
) -> SmokePlan:
    """The checks' layers: `alone`, whole on a base of their own, else on top of the image.

    `entries` are their packages, `own` what stands beside their files; `there` are names that the image has anyway.
    """
    known = set() if alone else {*(file.name for file in project.files), *there}
    files = tuple(placed(file, "smoke") for file in project.checks if file.name not in known)
    layers = (Layer("smoke dependencies", tuple(entries)), Layer("smoke", (*own, *files)))
    return SmokePlan(
        base.platform,
        tuple(layer for layer in layers if layer.entries),
        {**environment, **project.settings.service.env} if alone else {},
        FOLDER,
        pin(base) if alone else None,
    )


def pin(base: Base) -> BasePin:
    """A base as plans name it."""
    return BasePin(base.reference, base.digest)


def labels(project: Project, base: Base, created: str) -> dict[str, str]:
    """The standard annotations as labels (OCI image-spec, annotations.md)."""
    told = {
        "title": project.name,
        "version": project.version.semver,
        "created": created,
        "revision": project.source.commit or "",
        "source": project.source.repository or "",
        "base.name": base.reference,
        "base.digest": base.digest,
    }
    return {f"org.opencontainers.image.{name}": value for name, value in sorted(told.items()) if value}


def _health(project: Project, probe: tuple[str, ...]) -> Health | None:
    port, path = project.settings.service.port, project.settings.smoke.health
    if port is None or path is None or not probe:
        return None
    return Health((*probe, f"http://127.0.0.1:{port}/{path.lstrip('/')}"))
