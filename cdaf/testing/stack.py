"""What stands beside an image in its test: sidecar fragments and the service's own compose files, as one project."""

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from cdaf import assets, store, typed
from cdaf.bundles.manifest import Manifest
from cdaf.errors import BundleError, ProjectError, faults
from cdaf.registries import reference
from cdaf.settings import settings
from cdaf.testing import compose_file
from cdaf.testing.compose_file import CHECKS, SERVICE, Document

URL, RUN, ROUND, JUNIT = "CDAF_SMOKE_URL", "CDAF_SMOKE_ID", "CDAF_SMOKE_ROUND", "CDAF_SMOKE_JUNIT"
JUNIT_FILE = "/tmp/cdaf-junit.xml"  # noqa: S108 - inside the checks' own container
_EXTENSION = "x-cdaf"
_HEALTH = {"port": int, "path": str}
# A service that floods its log must not fill the engine's disk; of the drivers that the engine reads back by itself
# this one alone has no bound. Twice as much is kept as a report shows.
_UNBOUND = "json-file"
_BOUNDS = {"driver": _UNBOUND, "options": {"max-size": "16m", "max-file": "2"}}


class Probe(NamedTuple):
    """A page that answers 2xx when its server is ready, asked from outside the container."""

    port: int
    path: str


class Fragment(msgspec.Struct, frozen=True):
    """A sidecar that cdaf knows: the image names it is for, its one service, and what it hands to the tested one."""

    name: str
    images: tuple[str, ...]
    environment: dict[str, str]
    document: Document


class Binding(msgspec.Struct, frozen=True):
    """What is only known at the run: labels, images by id, and where ports are published.

    `images` maps references as declared to ids in the engine; `platform` is set when it is not the engine's own,
    `checked` when the service's image has a health check of its own, `lasting` when it stays up for people; `logging`
    is the engine's driver for logs.
    """

    run: str
    labels: dict[str, str]
    service: str
    checks: str
    images: dict[str, str]
    publish: str
    platform: str = ""
    checked: bool = False
    lasting: bool = False
    logging: str = ""


class Stack(msgspec.Struct, frozen=True):
    """A compose project before it runs: files in the order of merging, and what people call its services."""

    files: dict[str, bytes]
    titles: dict[str, str]
    probes: dict[str, Probe]


def check(smoke: settings.Smoke, files: Sequence[Path]) -> list[str]:
    """All faults of what a project declares beside its service; nothing is fetched and no engine asked."""
    found = [fault for name in smoke.sidecars for fault in _sidecar_faults(name)]
    return found + _faults(smoke, [(path.name, path.read_bytes()) for path in files])


def _sidecar_faults(name: str) -> list[str]:
    if reference.holds_login(name):
        return ["smoke.sidecars: holds a login; it comes from the engine's own configuration"]
    if fragment(name) is not None:
        return []
    known = sorted({image for each in fragments().values() for image in each.images})
    near = difflib.get_close_matches(_last_part(name), known, 1)
    meant = f", did you mean {near[0]!r}?" if near else f" ({', '.join(sorted(fragments()))});"
    return [
        f"smoke.sidecars: {name!r} is not one that cdaf knows{meant} "
        "write a compose file for any other and name it in smoke.compose"
    ]


def demand(manifest: Manifest, composed: Mapping[str, bytes]) -> None:
    """Hold a bundle to what `check` holds a project to: whoever sealed it may have asked for more.

    Raises BundleError with all faults: what a test must not do on this machine, and images that are not pinned.
    """
    smoke = manifest.smoke
    wrong = _faults(smoke.declared, [(Path(name).name, data) for name, data in composed.items()])
    if not wrong:
        named = {
            image for data in composed.values() for image in compose_file.images(compose_file.parse(data)).values()
        }
        pinned = {each.reference for each in smoke.sidecars}
        wrong = [f"{each}: no pin" for each in sorted({*named, *smoke.declared.sidecars} - pinned)]
    if wrong:
        raise BundleError(
            faults("what stands beside the service", wrong), "mend its compose files, and package the service again"
        )


def _faults(smoke: settings.Smoke, files: Sequence[tuple[str, bytes]]) -> list[str]:
    names = [each.name for image in smoke.sidecars if (each := fragment(image))]
    found = [f"smoke.sidecars: {name} stands there twice" for name in sorted(set(names)) if names.count(name) > 1]
    known, secrets = frozenset(names), frozenset(smoke.secrets)
    for name, data in files:
        try:
            document = compose_file.parse(data)
        except ValueError as error:
            found.append(f"{name}: {error}")
            continue
        found += [f"{name}: {fault}" for fault in compose_file.faults(document, secrets, known)]
        found += [f"{name}: {fault}" for fault in _probe_faults(document)]
        known |= compose_file.images(document).keys()
    return found


def images(files: Sequence[Path]) -> list[str]:
    """The images that compose files name, each once, in their order. Raises ProjectError when one cannot be read."""
    found: dict[str, None] = {}
    wrong = []
    for path in files:
        try:
            found |= dict.fromkeys(compose_file.images(compose_file.parse(path.read_bytes())).values())
        except ValueError as error:
            wrong.append(f"{path.name}: {error}")
    if wrong:
        raise ProjectError(faults("smoke.compose", wrong), "mend the file; its format is the Compose Specification")
    return list(found)


@cache
def fragments() -> dict[str, Fragment]:
    """Every sidecar that cdaf knows, by name; YAML takes long to read, so what it says is kept."""
    texts = {path.stem: path.read_bytes() for path in sorted(assets.sidecars().glob("*.yaml"))}
    key = hashlib.sha256(msgspec.json.encode(texts)).hexdigest()
    kept = store.recall("fragments", key)
    if kept is None:
        kept = msgspec.json.encode({name: _fragment(name, data) for name, data in texts.items()})
        store.remember("fragments", key, kept)
    return typed.decode(kept, dict[str, Fragment])


def fragment(image: str) -> Fragment | None:
    """The fragment for an image: told by the last part of its name, whatever its registry, tag or digest."""
    last = _last_part(image)
    return next((each for each in fragments().values() if last in each.images), None)


def _last_part(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _fragment(name: str, data: bytes) -> Fragment:
    document = compose_file.parse(data)
    told = document.pop(_EXTENSION)
    return Fragment(name, tuple(told["images"]), told["environment"], document)


def assemble(manifest: Manifest, composed: Mapping[str, bytes], bound: Binding) -> Stack:
    """The project of one run: cdaf's own file, the service's in order, and one that pins and labels everything."""
    declared = manifest.smoke.declared
    beside = [(image, each) for image in declared.sidecars if (each := fragment(image))]
    documents = [compose_file.parse(data) for data in composed.values()]
    handed: dict[str, str] = {}
    for _, each in beside:
        handed = each.environment | handed
    services = {name: table for _, each in beside for name, table in compose_file.services(each.document).items()}
    services[SERVICE] = _service(manifest, bound, handed)
    if bound.checks:
        services[CHECKS] = _checks(manifest, bound, handed)
    wanted = {each.name: image for image, each in beside}
    for document in documents:
        wanted |= compose_file.images(document)
    probes = _probes([*(each.document for _, each in beside), *documents])
    last = _override([*(each.document for _, each in beside), *documents], wanted, probes, bound)
    files = {
        "00-cdaf.json": _json({"services": services}),
        **{f"{number:02d}-{Path(name).name}": data for number, (name, data) in enumerate(composed.items(), 1)},
        "99-cdaf.json": _json(last),
    }
    return Stack(files, {SERVICE: SERVICE, CHECKS: CHECKS, **wanted}, probes)


def _service(manifest: Manifest, bound: Binding, handed: Mapping[str, str]) -> dict[str, Any]:
    declared, port = manifest.smoke.declared, manifest.service.port
    return {
        "image": bound.service,
        "environment": _environment({**handed, **declared.env}, declared.secrets),
        **({"ports": [_port(port, bound)]} if port else {}),
        **({"healthcheck": _health(declared, bound)} if bound.checked else {}),
        **({"platform": bound.platform} if bound.platform else {}),
    }


def _health(declared: settings.Smoke, bound: Binding) -> dict[str, Any]:
    """The image's own health check: every second in a test, which need not wait for the pace of production.

    A service that stays up for people is asked from outside alone, or its log would hold little else.
    """
    if bound.lasting:
        return {"disable": True}
    return {"interval": "1s", "start_period": "1ms", "retries": declared.timeout}


def _checks(manifest: Manifest, bound: Binding, handed: Mapping[str, str]) -> dict[str, Any]:
    declared, port = manifest.smoke.declared, manifest.service.port
    told = {RUN: bound.run, JUNIT: JUNIT_FILE, **({URL: f"http://{SERVICE}:{port}"} if port else {})}
    if is_pytest(declared.checks):
        # its cache would stand in /app, which is not the checks' to write to
        told["PYTEST_ADDOPTS"] = f"--junitxml={JUNIT_FILE} -p no:cacheprovider"
    return {
        "image": bound.checks,
        "command": [_escaped(word) for word in declared.checks],
        "environment": _environment({**handed, **told}, declared.secrets),
        **({"platform": bound.platform} if bound.platform else {}),
    }


def is_pytest(command: Sequence[str]) -> bool:
    """Whether a command starts pytest, which takes options from its environment."""
    words = [word.rpartition("/")[2] for word in command]
    return words[:1] in (["pytest"], ["py.test"]) or (words[1:3] == ["-m", "pytest"] and words[0].startswith("python"))


def _override(
    documents: Sequence[Document], wanted: Mapping[str, str], probes: Mapping[str, Probe], bound: Binding
) -> Document:
    """Labels on all there is, images by id, and nothing pulled."""
    names = {name for document in documents for name in compose_file.services(document)} - {SERVICE, CHECKS}
    fixed = {SERVICE: bound.service, **({CHECKS: bound.checks} if bound.checks else {})}
    common = {"labels": bound.labels, "pull_policy": "never"}
    if bound.logging == _UNBOUND:
        common["logging"] = _BOUNDS
    services: dict[str, Any] = {name: {**common, "image": image} for name, image in fixed.items()}
    for name in sorted(names):
        services[name] = dict(common)
        if name in wanted:
            services[name]["image"] = bound.images[wanted[name]]
        if name in probes:
            services[name]["ports"] = [_port(probes[name].port, bound)]
    labelled = {
        kind: {name: {"labels": bound.labels} for document in documents for name in document.get(kind) or {}}
        for kind in ("networks", "volumes")
    }
    labelled["networks"]["default"] = {"labels": bound.labels}
    return {"services": services, **labelled}


def _port(port: int, bound: Binding) -> dict[str, Any]:
    return {"target": port, "protocol": "tcp", **({"host_ip": bound.publish} if bound.publish else {})}


def _environment(values: Mapping[str, str], secrets: Sequence[str]) -> dict[str, str | None]:
    """Values as they stand; a secret has none, so compose takes it from the environment and no file holds it."""
    return {**{name: _escaped(value) for name, value in values.items()}, **dict.fromkeys(secrets)}


def _escaped(value: str) -> str:
    """A text that compose will not interpolate."""
    return value.replace("$", "$$")


def _probes(documents: Sequence[Document]) -> dict[str, Probe]:
    found = {}
    for document in documents:
        for name, each in compose_file.services(document).items():
            told = (each.get(_EXTENSION) or {}).get("health")
            if told:
                found[name] = Probe(told["port"], told["path"])
    return found


def _probe_faults(document: Document) -> Iterator[str]:
    for name, each in compose_file.services(document).items():
        told = each.get(_EXTENSION)
        health = told.get("health") if isinstance(told, dict) else told
        if told is not None and not (
            isinstance(health, dict)
            and set(health) == set(_HEALTH)
            and all(isinstance(health[key], kind) for key, kind in _HEALTH.items())
            and re.fullmatch("/[!-~]*", health["path"])
        ):
            yield f"services.{name}.{_EXTENSION}: it takes `health: {{ port: 8080, path: /healthz }}` and nothing else"


def _json(document: Document) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2)
