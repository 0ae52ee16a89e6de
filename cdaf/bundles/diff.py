"""What changed between two bundles: settings, dependencies, files and layers."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from cdaf.bundles.bundle import Bundle
from cdaf.bundles.manifest import Dependency
from cdaf.images import plan

_APART = ("format", "dependencies", "images")  # compared on their own, or following from what is
_SHORT = len("sha256:") + 12


class Change(msgspec.Struct, frozen=True):
    """One thing that differs; `before` or `after` is empty where it was added or removed."""

    kind: Literal["setting", "dependency", "file", "layer"]
    name: str
    before: str
    after: str

    @property
    def sign(self) -> str:
        """`+` for something added, `-` for something removed, `~` for something changed."""
        return "~" if self.before and self.after else "+" if self.after else "-"


def compare(old: Bundle, new: Bundle) -> list[Change]:
    """Every difference, by kind and then by name."""
    return [
        *_changes("setting", _settings(old), _settings(new)),
        *_changes("dependency", _dependencies(old), _dependencies(new)),
        *_changes("file", _files(old), _files(new)),
        *_changes("layer", _layers(old), _layers(new)),
    ]


def _changes(
    kind: Literal["setting", "dependency", "file", "layer"], old: Mapping[str, str], new: Mapping[str, str]
) -> Iterator[Change]:
    for name in sorted({*old, *new}):
        before, after = old.get(name, ""), new.get(name, "")
        if before != after:
            yield Change(kind, name, before, after)


def _settings(bundle: Bundle) -> dict[str, str]:
    """The manifest's values by dotted key."""
    data = msgspec.to_builtins(bundle.manifest)
    return dict(_flat("", {key: value for key, value in data.items() if key not in _APART}))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else key, inner)
    elif isinstance(value, list | tuple) and value and all(isinstance(item, dict) for item in value):
        for item in value:
            told = dict(item)
            key = "/".join(str(told.pop(name)) for name in ("reference", "platform", "role") if name in told)
            yield from _flat(f"{prefix}[{key}]", told)
    else:
        yield prefix, msgspec.json.encode(value).decode()


def _dependencies(bundle: Bundle) -> dict[str, str]:
    """Versions by name; an archive that is not the same on all platforms is told with its digest."""
    found: dict[str, dict[str, str]] = {}
    for each in bundle.manifest.dependencies:
        found.setdefault(f"{each.name} ({each.group})", {})[each.archive] = _told(each)
    return {name: " ".join(dict.fromkeys(archives.values())) for name, archives in found.items()}


def _told(dependency: Dependency) -> str:
    return f"{dependency.version} {dependency.sha256[:12]}"


def _files(bundle: Bundle) -> dict[str, str]:
    """The service's own files and those of its checks, and native locks, by their bytes."""
    folders = ("app/", "smoke/", "locks/")
    return {name: f"sha256:{m.sha256}"[:_SHORT] for name, m in bundle.members.items() if name.startswith(folders)}


def _layers(bundle: Bundle) -> dict[str, str]:
    """Layers by platform and name; what goes into one stands for what comes out."""
    return {
        f"{image.platform} {each.name}": _identity(each, bundle)
        for image in bundle.plans.images
        for each in image.layers
    }


def _identity(layer: plan.Layer, bundle: Bundle) -> str:
    held = {name: bundle.members[name].sha256 for name in plan.members((layer,))}
    return f"sha256:{hashlib.sha256(msgspec.json.encode((layer, held), order='sorted')).hexdigest()}"[:_SHORT]
