"""What `diff` tells of two bundles."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from cdaf.bundles import bundle, diff
from cdaf.images import plan
from tests import bundlekit

WHEEL = "deps/flask-3.1.0-py3-none-any.whl"


def seal(
    into: Path,
    content: Mapping[str, bytes] = MappingProxyType({}),
    entries: tuple[plan.Entry, ...] = (),
    **changes: Any,
) -> Path:
    manifest = bundlekit.manifest(**changes)
    return bundle.seal(into, manifest, bundlekit.plans(*entries), {**bundlekit.CONTENT, **content}).path


def compare(old: Path, new: Path) -> list[tuple[str, str, str]]:
    return [(each.sign, each.kind, each.name) for each in diff.compare(bundle.open(old), bundle.open(new))]


def test_nothing_changed(tmp_path: Path) -> None:
    assert compare(seal(tmp_path / "a"), seal(tmp_path / "b")) == []


def test_files_and_the_layer_they_are_in(tmp_path: Path) -> None:
    old = seal(tmp_path / "a", {"app/gone.py": b"1"}, (plan.Place("app/gone.py", "app/gone.py"),))
    new = seal(tmp_path / "b", {"app/orders.py": b"new"})
    assert compare(old, new) == [
        ("-", "file", "app/gone.py"),
        ("~", "file", "app/orders.py"),
        ("~", "layer", "linux/amd64 service"),
    ]


def test_dependencies(tmp_path: Path) -> None:
    data = b"other bytes"
    [old] = bundlekit.manifest().dependencies
    changed = msgspec.structs.replace(old, version="3.1.1", sha256=hashlib.sha256(data).hexdigest())
    first, second = seal(tmp_path / "a"), seal(tmp_path / "b", {WHEEL: data}, dependencies=(changed,))
    [change] = [each for each in diff.compare(bundle.open(first), bundle.open(second)) if each.kind == "dependency"]
    assert change.name == "flask (main)"
    assert (change.before.split()[0], change.after.split()[0]) == ("3.1.0", "3.1.1")


def test_settings(tmp_path: Path) -> None:
    service = msgspec.structs.replace(bundlekit.manifest().service, port=9000, environment={"B": "1"})
    changes = compare(seal(tmp_path / "a"), seal(tmp_path / "b", service=service))
    assert changes == [
        ("-", "setting", "service.environment.A"),
        ("+", "setting", "service.environment.B"),
        ("+", "setting", "service.port"),
    ]


def test_on_the_command_line(tmp_path: Path) -> None:
    old, new = seal(tmp_path / "a"), seal(tmp_path / "b", {"app/orders.py": b"new"})
    command = [sys.executable, "-m", "cdaf", "diff"]
    same = subprocess.run([*command, old, old], capture_output=True, text=True, check=True)
    assert (same.stdout, same.stderr) == ("", "no differences\n")
    text = subprocess.run([*command, old, new], capture_output=True, text=True, check=True).stdout
    assert "~  file   app/orders.py" in text
    told = subprocess.run([*command, old, new, "--json"], capture_output=True, text=True, check=True).stdout
    assert {each["kind"] for each in json.loads(told)["changes"]} == {"file", "layer"}
