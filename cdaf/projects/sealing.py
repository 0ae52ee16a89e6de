"""From what a language collected and planned to what is sealed: the contents, the foretold images, the manifest."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cdaf import ASSEMBLER_REVISION, __version__, languages
from cdaf.bundles import bundle, manifest, sbom
from cdaf.bundles.manifest import Foretold, Layer, Manifest
from cdaf.images import content, image, layers, oci, plan, sealed
from cdaf.images.content import Content
from cdaf.languages import SEALING, Collection, Planned
from cdaf.projects.locking import base_of
from cdaf.projects.pins import Pins
from cdaf.projects.project import File, Project

_USERINFO = re.compile(rb"(?<=://)[^/@\s\"']+@")


def contents(project: Project, collection: Collection, planned: Planned) -> dict[str, Content]:
    """Everything that enters the bundle beside its own manifest, plan and checksums, by member name."""
    found = {
        archive.dependency.archive: content.of_file(archive.path, archive.dependency.sha256)
        for archive in collection.archives
    }
    found |= {f"app/{file.name}": content.of_file(file.path) for file in _regular(project.files)}
    found |= {f"smoke/{file.name}": content.of_file(file.path) for file in _regular(project.checks)}
    found |= {name: content.of_file(path) for name, path in compose_members(project).items()}
    found |= {name: content.of_bytes(data) for name, data in planned.generated.items()}
    found |= planned.kept
    found |= sealed.members([each.image for each in planned.sealed]) if planned.sealed else {}
    locks = {**collection.lock.files, "cdaf.lock": (project.root / "cdaf.lock").read_bytes()}
    found |= {f"locks/{name}": content.of_bytes(redacted(data)) for name, data in locks.items()}
    return found


def compose_members(project: Project) -> dict[str, Path]:
    """The service's own compose files by member name, numbered in the order in which they are merged."""
    return {
        f"smoke/compose/{number:02d}-{Path(file.name).name}": file.path for number, file in enumerate(project.compose)
    }


def foretell(
    plans: plan.Plans, held: Mapping[str, Content], whole: Iterable[sealed.Sealed] = ()
) -> tuple[Foretold, ...]:
    """Each platform's image, known before any release: foretold from its plan, or sealed as it is."""
    found = []
    for each in plans.images:
        made = image.assemble(each, held)
        found.append(Foretold(platform=each.platform, digest=made.digest, layers=_own(made, len(each.layers))))
    for one in whole:
        told, own = one.image, _own(one.image, one.own)
        found.append(Foretold(platform=told.platform, digest=told.digest, sealed=True, network=one.network, layers=own))
    return tuple(found)


def _own(made: oci.Image, count: int) -> tuple[Layer, ...]:
    own = made.layers[len(made.layers) - count :]
    return tuple(Layer(name=one.name, digest=one.digest, diff_id=one.diff_id, size=one.size) for one in own)


def describe(project: Project, collection: Collection, planned: Planned, foretold: tuple[Foretold, ...]) -> Manifest:
    """The manifest of the bundle."""
    settings, pins = project.settings, collection.lock.pins
    return Manifest(
        format=1,
        service=_service(project, planned),
        source=manifest.Source(
            time=rfc3339(project.source.time),
            repository=project.source.repository,
            commit=project.source.commit,
            dirty=project.source.dirty,
            release=project.version.is_release,
        ),
        bases=(*_bases_of_sealed(planned), *_bases(project, pins)),
        images=foretold,
        smoke=manifest.Smoke(
            declared=settings.smoke,
            sidecars=tuple(manifest.Sidecar(reference=each.reference, digest=each.digest) for each in pins.sidecars),
            compose=tuple(compose_members(project)),
        ),
        publish=settings.publish,
        environments=settings.environments,
        tools=manifest.Tools(
            cdaf=__version__,
            assembler=ASSEMBLER_REVISION,
            resolver=dict(sorted(collection.lock.resolver.items())),
        ),
        dependencies=tuple(
            sorted(
                (archive.dependency for archive in collection.archives),
                key=lambda each: (each.name, each.version, each.archive),
            )
        ),
    )


def _service(project: Project, planned: Planned) -> manifest.Service:
    """The service as it will run: as its settings say, or as an image that is sealed says of itself."""
    service = project.settings.service
    told = manifest.Service(
        name=project.name,
        version=project.version.semver,
        language=project.language,
        start=service.start,
        port=service.port,
        environment=dict(sorted(service.env.items())),
        user=service.user.name,
        uid=service.user.id,
        state=service.state,
        license=planned.license or None,
    )
    if not planned.sealed:
        return told
    own = sealed.runtime(planned.sealed[0].image.config)
    return msgspec.structs.replace(
        told,
        start=own.start,
        environment=dict(sorted(own.environment.items())),
        user=own.user,
        uid=_uid(own.user),
        state=own.volumes,
    )


def _uid(user: str) -> int:
    """The number of a user as an image names it; -1 where only its passwd knows."""
    name = user.partition(":")[0]
    return int(name) if name.isdecimal() else 0 if name == "root" else -1


def _bases_of_sealed(planned: Planned) -> tuple[manifest.Base, ...]:
    found: list[manifest.Base] = []
    for each in planned.sealed:
        platform, base = each.image.platform, each.image.base
        told: list[tuple[manifest.Role, plan.BasePin]] = [("image", base)] if base else []
        for role, pin in [*told, *(("build", tool) for tool in each.tools)]:
            found.append(manifest.Base(platform=platform, reference=pin.reference, digest=pin.digest, role=role))
    return tuple(found)


def _bases(project: Project, pins: Pins) -> tuple[manifest.Base, ...]:
    settings = project.settings
    known: dict[str | None, manifest.Role] = {settings.smoke.image: "smoke"}
    if project.language not in SEALING:
        tools: list[str | None] = [*languages.images(project), settings.build.image]
        built: dict[str | None, manifest.Role] = dict.fromkeys(tools, "build")
        known = {**built, **known, base_of(project): "image"}
    return tuple(
        manifest.Base(platform=each.platform, reference=each.reference, digest=each.digest, role=known[each.reference])
        for each in pins.bases
        if each.reference in known
    )


def seal(
    into: Path,
    described: Manifest,
    plans: plan.Plans,
    held: dict[str, Content],
    confirm: Callable[[], None] = lambda: None,
) -> bundle.Bundle:
    """Seal the bundle unless `confirm` raises; git is told to pass over a folder that is made for it.

    Raises ProjectError when a file changed since the image was foretold from it.
    """
    derived = sbom.members(described, plans, held) | _listings(described)
    held = held | {name: content.of_bytes(data) for name, data in derived.items()}
    sources = {name: content.source(each) for name, each in held.items()}
    is_new = not into.exists()
    made = bundle.seal(into, described, plans, sources, {name: each.sha256 for name, each in held.items()}, confirm)
    if is_new:
        (into / ".gitignore").write_text("*\n")
    return made


def _listings(described: Manifest) -> dict[str, bytes]:
    return {
        bundle.listing_name(each.platform): layers.listings((one.name, one.digest) for one in each.layers)
        for each in described.images
    }


def rfc3339(seconds: int) -> str:
    """A time in seconds since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def redacted(lock: bytes) -> bytes:
    """A lockfile without the credentials that its URLs may carry."""
    return _USERINFO.sub(b"", lock)


def _regular(files: tuple[File, ...]) -> list[File]:
    return [file for file in files if not file.link]
