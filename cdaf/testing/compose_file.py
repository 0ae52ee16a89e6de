"""Compose files as users write them: read as data, and held to what a sealed test may ask for.

The format is the Compose Specification; what compose itself checks (types, unknown keys) is left to compose.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cdaf.registries import reference

Document = dict[str, Any]

SERVICE, CHECKS = "service", "checks"
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_OWN = {
    SERVICE: ("image", "command", "entrypoint", "user", "platform", "volumes", "tmpfs"),
    CHECKS: ("image", "command", "entrypoint"),
}
_HARMLESS = re.compile(  # what engines give every container, and what databases ask for
    "AUDIT_WRITE|CHOWN|DAC_OVERRIDE|FOWNER|FSETID|IPC_LOCK|KILL|MKNOD|NET_BIND_SERVICE|NET_RAW|SETFCAP|SETGID|SETPCAP|"
    "SETUID|SYS_CHROOT|SYS_NICE"
)
_FORBIDDEN = {
    "build": "images are pinned, not built beside the test",
    "env_file": "a bundle has no host files; write `environment:`, or name the variable in smoke.secrets",
    "extends": "a bundle holds whole files",
    "label_file": "a bundle has no host files",
    "container_name": "two runs would collide",
    "devices": "the test must run on any host",
    "device_cgroup_rules": "the test must run on any host",
    "gpus": "the test must run on any host",
    "runtime": "the test must run on any host",
    "cgroup_parent": "the test must run on any host",
    "logging": "the report needs every log",
    "models": "the test must run on any host",
    "external_links": "the test makes what it uses",
    "volumes_from": "name the volume in both services",
    "provider": "it runs a program on the host",
    "credential_spec": "a bundle has no host files",
    "use_api_socket": "the test must not reach the engine",
}
_SHORT = 1 << 14
_DRIVERS = {"networks": "bridge", "volumes": "local"}
_OWN_LABELS = ("io.cdaf.", "com.docker.compose.")
_HOST_SPACES = ("network_mode", "pid", "ipc", "uts", "userns_mode", "cgroup")


def parse(data: bytes) -> Document:
    """A compose file's content. Raises ValueError, with the line where it can be told."""
    import yaml

    # The fast loader ends the process at some ten thousand levels, so it gets what is too short for them.
    fast = len(data) <= _SHORT and hasattr(yaml, "CSafeLoader")

    class Loader(yaml.CSafeLoader if fast else yaml.SafeLoader):  # type: ignore[misc]
        """The safe loader, with compose's two tags for merging."""

    def plain(loader: Any, node: Any) -> Any:
        kinds = {"scalar": loader.construct_scalar, "sequence": loader.construct_sequence}
        return kinds.get(node.id, lambda each: loader.construct_mapping(each, deep=True))(node)

    for tag in ("!reset", "!override"):
        Loader.add_constructor(tag, plain)
    try:
        found = yaml.load(data, Loader)  # noqa: S506 - a subclass of the safe loader
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not isinstance(found, dict) or not isinstance(found.get("services", {}), dict):
        raise ValueError("it is not a compose file: `services` is missing, or no table")
    return found


def services(document: Document) -> dict[str, dict[str, Any]]:
    """The services, each a table."""
    found = document.get("services") or {}
    return {str(name): each if isinstance(each, dict) else {} for name, each in found.items()}


def images(document: Document) -> dict[str, str]:
    """The image of each service that names one."""
    return {name: str(each["image"]) for name, each in services(document).items() if each.get("image")}


def faults(document: Document, secrets: frozenset[str], known: frozenset[str]) -> list[str]:
    """All that a sealed test cannot give; `known` are services that need no image here."""
    return [
        *(["include: a bundle holds whole files"] if "include" in document else []),
        *(fault for name, each in services(document).items() for fault in _service(name, each, secrets, known)),
        *(fault for kind in ("networks", "volumes") for fault in _resources(kind, document.get(kind))),
        *(fault for kind in ("configs", "secrets") for fault in _contents(kind, document.get(kind), secrets)),
        *_variables(document, secrets),
    ]


def _service(name: str, told: Mapping[str, Any], secrets: frozenset[str], known: frozenset[str]) -> Iterator[str]:
    where = f"services.{name}"
    for key in _OWN.get(name, ()):
        if key in told:
            yield f"{where}.{key}: cdaf sets it, so that what is tested is what is published"
    if name not in _OWN and name not in known and not told.get("image"):
        yield f"{where}: names no image"
    if "$" in str(told.get("image", "")):
        yield f"{where}.image: a variable cannot be pinned"
    if reference.holds_login(str(told.get("image", ""))):
        yield f"{where}.image: holds a login; it comes from the engine's own configuration"
    for key, why in _FORBIDDEN.items():
        if key in told:
            yield f"{where}.{key}: {why}"
    if told.get("privileged"):
        yield f"{where}.privileged: the test must run on any host"
    for key in _HOST_SPACES:
        if str(told.get(key, "")).startswith(("host", "container:", "$")):
            yield f"{where}.{key}: the test must not share the host's, nor another container's"
    yield from _rights(where, told)
    yield from _labels(where, told)
    yield from _mounts(where, told.get("volumes") or [])
    yield from _ports(where, told.get("ports") or [])
    yield from _unset(where, told.get("environment") or {}, secrets)


def _rights(where: str, told: Mapping[str, Any]) -> Iterator[str]:
    """What lets a container out of its walls."""
    for each in _listed(told.get("cap_add")):
        if not _HARMLESS.fullmatch(each.upper().removeprefix("CAP_")):
            yield f"{where}.cap_add: {each}: the test must run on any host"
    for each in _listed(told.get("security_opt")):
        if each.partition(":")[0].partition("=")[0] != "no-new-privileges":
            yield f"{where}.security_opt: {each}: the test must run on any host"
    for key in ("post_start", "pre_stop"):
        hooks = told.get(key)
        listed = hooks if isinstance(hooks, list) else []
        if any(isinstance(each, dict) and each.get("privileged") for each in listed):
            yield f"{where}.{key}: privileged: the test must run on any host"
    if "devices" in _texts(told.get("deploy")):
        yield f"{where}.deploy: devices: the test must run on any host"


def _labels(where: str, told: Mapping[str, Any]) -> Iterator[str]:
    for each in told.get("labels") or ():
        if str(each).startswith(_OWN_LABELS):
            yield f"{where}.labels: {str(each).partition('=')[0]}: cdaf sets it, and removes what bears it"


def _listed(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _mounts(where: str, mounts: Any) -> Iterator[str]:
    for mount in mounts if isinstance(mounts, list) else []:
        if isinstance(mount, dict):
            source, bind = str(mount.get("source", "")), mount.get("type") not in ("volume", "tmpfs", "image")
        else:
            source, colon, _ = str(mount).partition(":")
            bind = bool(colon) and source[:1] in ("/", ".", "~", "$")
        if bind:
            yield f"{where}.volumes: {source!r} is a host path, and engines may be remote"


def _ports(where: str, ports: Any) -> Iterator[str]:
    for port in ports if isinstance(ports, list) else []:
        fixed = port.get("published") if isinstance(port, dict) else _host_port(str(port))
        if fixed:
            yield f"{where}.ports: {port!r} takes a port of the host, and two runs would collide; drop it"


def _host_port(port: str) -> str:
    """The host's port in `[address:][host port:]port[/protocol]`; empty leaves the choice to the engine."""
    parts = re.sub(r"^\[[^]]*\]", "", port).partition("/")[0].split(":")
    return parts[-2] if len(parts) > 1 else ""


def _unset(where: str, environment: Any, secrets: frozenset[str]) -> Iterator[str]:
    """Variables without a value come from the environment of whoever releases."""
    if isinstance(environment, dict):
        names = [str(name) for name, value in environment.items() if value is None]
    else:
        names = [str(each) for each in environment if "=" not in str(each)]
    for name in names:
        if name not in secrets:
            yield f"{where}.environment: {name} has no value and is not in smoke.secrets"


def _resources(kind: str, told: Any) -> Iterator[str]:
    for name, each in told.items() if isinstance(told, dict) else ():
        table = each if isinstance(each, dict) else {}
        for key in ("external", "name"):
            if table.get(key):
                yield f"{kind}.{name}.{key}: the test makes what it uses, and removes it"
        if kind == "volumes" and table.get("driver_opts"):
            yield f"{kind}.{name}.driver_opts: may mount the host's folders"
        if table.get("driver") not in (None, "", _DRIVERS[kind]):
            yield f"{kind}.{name}.driver: the test must run on any host, with driver {_DRIVERS[kind]}"
        yield from _labels(f"{kind}.{name}", table)


def _contents(kind: str, told: Any, secrets: frozenset[str]) -> Iterator[str]:
    for name, each in told.items() if isinstance(told, dict) else ():
        table = each if isinstance(each, dict) else {}
        for key in ("file", "external"):
            if table.get(key):
                yield f"{kind}.{name}.{key}: a bundle has no host files; write `content:`"
        if table.get("environment") and table["environment"] not in secrets:
            yield f"{kind}.{name}.environment: {table['environment']} is not in smoke.secrets"


def _variables(document: Document, secrets: frozenset[str]) -> Iterator[str]:
    """Compose would take variables from whoever releases: only those handed over by name are there."""
    found = {name for text in _texts(document) for name in _VARIABLE.findall(text.replace("$$", ""))}
    for name in sorted(found - secrets):
        yield f"${{{name}}} is not in smoke.secrets; write $$ for a dollar sign"


def _texts(whole: Any) -> Iterator[str]:
    """Every text, keys too; what many aliases name is looked at once."""
    seen: set[int] = set()
    waiting = [whole]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list) and id(value) not in seen:
            seen.add(id(value))
            waiting += [*value, *value.values()] if isinstance(value, dict) else value
