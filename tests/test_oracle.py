"""An oracle: BuildKit and uv make every Python example's image from the same wheels, and it holds what cdaf's holds.

What differs stands in a list, each with its reason; anything else is a fault. The Dockerfile is in tests/oracle/.
What npm, Bundler and Composer lay out for the other examples is held against ours in the tests of those languages.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import string
import subprocess
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from uv import find_uv_bin

from tests import acceptance
from tests.acceptance import ask

pytestmark = pytest.mark.docker

HERE = Path(__file__).parent
EXAMPLES = sorted(path.parent.name for path in (HERE.parent / "examples").glob("*/uv.lock"))
PLATFORM = "linux/amd64"
SITE = r"app/\.venv/lib/python3\.\d+/site-packages"

# Paths that one of the two alone has.
ONLY_THEIRS = {
    r"app/\.venv/(\.gitignore|\.lock|CACHEDIR\.TAG)": "uv's own marks in an environment that it made",
    r"app/\.venv/bin/((de)?activate(\..*|_this\.py)?|pydoc\.bat)": "scripts for shells: an image's PATH is set",
    rf"{SITE}/(__pycache__/)?_virtualenv\.(py|pth|cpython-\d+\.pyc)": "a patch of virtualenv's for distutils",
    rf"{SITE}/[^/]+\.dist-info/(REQUESTED|direct_url\.json|uv_cache\.json)": "what was asked for, and from which file",
    r"etc/(passwd|group|shadow|gshadow|subuid|subgid)-": "backups that useradd and groupadd keep",
    r"etc/(subuid|subgid)": "ranges of users that useradd gives to a user",
}
ONLY_OURS = {
    r"app/(?!\.venv/)(.*/)?__pycache__(/.*\.pyc)?": "the service's other modules are compiled too",
}
# Paths that both have, with other content.
OTHER_CONTENT = {
    r"app/\.venv/pyvenv\.cfg": "each names its maker",
    rf"{SITE}/[^/]+\.dist-info/INSTALLER": "each names its maker",
    rf"{SITE}/[^/]+\.dist-info/RECORD": "each lists its own INSTALLER, and uv what it was asked for",
    r".*/__pycache__/.*\.pyc": "ours are by the source's hash and unchecked, uv's by its time",
    r"etc/(passwd|group)-|etc/(subuid|subgid)": "useradd keeps a copy, and ranges of users for every user",
    r"etc/(shadow|gshadow)": "useradd adds a locked password; a user who cannot log in needs no line",
}
OTHER_LINKS = {r"app/\.venv/bin/python": "uv links by the name that it was given, ours to the interpreter itself"}
OTHER_MODES = {r"etc/passwd-": "useradd's copy"}
OTHER_OWNERS: dict[str, str] = {}
# Keys of the config that differ.
OTHER_CONFIG = {
    "Labels": "ours has the standard ones, and the digest of its inputs",
    "Healthcheck": "ours is made from smoke.health; the Dockerfile has none",
    "ArgsEscaped": "BuildKit's mark, of use to Windows",
}


class Entry(msgspec.Struct, frozen=True):
    """One path of an image's file system; times are left out, for no two builds of BuildKit's share them."""

    kind: str
    mode: str
    owner: str
    target: str
    content: str


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_image_is_the_one_that_the_language_s_own_tools_make(name: str, shared: Path, tmp_path: Path) -> None:
    bundle = acceptance.packaged(name, shared)
    ours = loaded(bundle, tmp_path)
    theirs = built(name, bundle, tmp_path)
    try:
        wrong = [*files(of_image(theirs), of_image(ours)), *configs(inspected(theirs), inspected(ours))]
    finally:
        ask(["docker", "image", "rm", "--force", theirs])
    assert not wrong, "\n".join(wrong)


def files(theirs: Mapping[str, Entry], ours: Mapping[str, Entry]) -> Iterator[str]:
    """Every difference that no list names."""
    for path in sorted({*theirs, *ours}):
        if path not in ours:
            yield from unless(ONLY_THEIRS, path, f"/{path} is in theirs alone")
        elif path not in theirs:
            yield from unless(ONLY_OURS, path, f"/{path} is in ours alone")
        else:
            yield from entries(path, theirs[path], ours[path])


def entries(path: str, theirs: Entry, ours: Entry) -> Iterator[str]:
    listed = {"kind": {}, "mode": OTHER_MODES, "owner": OTHER_OWNERS, "target": OTHER_LINKS, "content": OTHER_CONTENT}
    for field, known in listed.items():
        one, other = getattr(theirs, field), getattr(ours, field)
        if one != other:
            yield from unless(known, path, f"/{path}: {field} is {one} in theirs, {other} in ours")


def unless(known: Mapping[str, str], path: str, fault: str) -> Iterator[str]:
    if not any(re.fullmatch(pattern, path) for pattern in known):
        yield fault


def configs(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*theirs, *ours} - OTHER_CONFIG.keys()):
        one, other = told(theirs.get(key)), told(ours.get(key))
        if one != other:
            yield f"config {key}: {one} in theirs, {other} in ours"


def told(value: Any) -> Any:
    """A value of the config; what is empty is as good as absent, and variables have no order."""
    if isinstance(value, list) and all(isinstance(each, str) and re.match(r"\w+=", each) for each in value):
        return sorted(value)
    return value or None


def of_image(image: str) -> dict[str, Entry]:
    """An image's whole file system, base and all."""
    with created(image) as container:
        export = subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE)
        assert export.stdout is not None
        with tarfile.open(fileobj=export.stdout, mode="r|") as archive:
            found = {member.name.rstrip("/"): entry(archive, member) for member in archive}
        assert export.wait() == 0
    return found


def entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    kind = "file" if member.isreg() or member.islnk() else {b"2": "link", b"5": "folder"}.get(member.type, "special")
    source = archive.extractfile(member) if member.isreg() else None
    data = source.read() if source else b""
    content = script(data) if member.name.startswith("app/.venv/bin/") else hashlib.sha256(data).hexdigest()
    target = member.linkname if member.issym() or member.islnk() else ""
    return Entry(kind, f"{member.mode:04o}", f"{member.uid}:{member.gid}", target, content)


def script(data: bytes) -> str:
    """A file of `bin/`; of a console script, which each writes in its own words, what it runs and by what."""
    found = re.fullmatch(
        rb"#!(?P<by>\S+)\n.*^from (?P<module>\S+) import (?P<name>\w+)$.*sys\.exit\((?P<call>[\w.]+)\(\)\).*",
        data,
        re.DOTALL | re.MULTILINE,
    )
    return str(sorted(found.groupdict().items())) if found else hashlib.sha256(data).hexdigest()


@contextmanager
def created(image: str) -> Iterator[str]:
    container = ask(["docker", "create", "--label=io.cdaf.test", image]).strip()
    try:
        yield container
    finally:
        ask(["docker", "rm", "--force", container])


def inspected(image: str) -> dict[str, Any]:
    (found,) = json.loads(ask(["docker", "image", "inspect", image]))
    config: dict[str, Any] = found["Config"]
    return config


def loaded(bundle: Path, folder: Path) -> str:
    """Our image in the engine, without a run of its smoke test: by the layout that `cdaf image` writes."""
    from cdaf import engine
    from cdaf.bundles import bundle as bundles
    from cdaf.images import building

    (image,) = building.images(bundles.open(bundle), (PLATFORM,))
    return engine.load(image)


def built(name: str, bundle: Path, folder: Path) -> str:
    """Their image: a Dockerfile of the language's, and lines of the service's own as cdaf.toml has them."""
    root = acceptance.example(name, folder / "source")
    settings = tomllib.loads((root / "cdaf.toml").read_text())
    with zipfile.ZipFile(bundle) as members:
        manifest = tomllib.loads(members.read("manifest.toml").decode())
        for each in manifest["dependencies"]:
            if PLATFORM in each["platforms"] and each.get("group", "main") == "main":
                wheel = folder / "wheels" / Path(each["archive"]).name
                wheel.parent.mkdir(exist_ok=True)
                wheel.write_bytes(members.read(each["archive"]))
    (folder / "uv").mkdir()
    shutil.copy(find_uv_bin(), folder / "uv" / "uv")
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(recipe(manifest, settings))
    contexts = [f"--build-context={each}={folder / each}" for each in ("uv", "wheels")]
    made = folder / "id"
    build = ["docker", "buildx", "build", "--builder=default", "--quiet", "--load", "--provenance=false", *contexts]
    ask([*build, f"--platform={PLATFORM}", f"--file={dockerfile}", f"--iidfile={made}", str(root)])
    return made.read_text().strip()


def recipe(manifest: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    service, image = settings["service"], settings.get("image", {})
    language = manifest["service"]["language"]
    text = (HERE / "oracle" / f"{language}.Dockerfile").read_text()
    bytecode = int(image.get("bytecode", True))
    whole = string.Template(text).substitute(base=image["base"], bytecode=bytecode)
    user = service.get("user", {"name": "app", "id": 10001})
    lines = [
        "WORKDIR /app",
        f"RUN --network=none groupadd --gid {user['id']} {user['name']} && useradd --no-log-init --uid {user['id']}"
        f" --gid {user['name']} --no-create-home --home-dir /app --shell /usr/sbin/nologin {user['name']}",
        *(f"RUN install -d -o {user['name']} -g {user['name']} {each}" for each in service.get("state", [])),
        *(f"COPY {each.removesuffix('/**')} {each.removesuffix('/**')}" for each in service.get("include", [])),
        *(f'ENV {name}="{value}"' for name, value in service.get("env", {}).items()),
        *([f"EXPOSE {service['port']}"] if "port" in service else []),
        f"USER {user['id']}:{user['id']}",
        f"CMD {json.dumps(service['start'])}",
    ]
    return whole + "\n".join(lines) + "\n"


def test_a_file_that_one_of_them_lacks_or_has_otherwise_is_seen() -> None:
    same = Entry("file", "0644", "0:0", "", "a")
    mine = {"app/a": same, "app/b": same, "app/.venv/.lock": same, "app/x/__pycache__/a.cpython-313.pyc": same}
    other = {"app/a": msgspec.structs.replace(same, content="b"), "app/c": same}
    other["app/x/__pycache__/a.cpython-313.pyc"] = msgspec.structs.replace(same, content="b", mode="0600")
    assert list(files(mine, other)) == [
        "/app/a: content is a in theirs, b in ours",
        "/app/b is in theirs alone",
        "/app/c is in ours alone",
        "/app/x/__pycache__/a.cpython-313.pyc: mode is 0644 in theirs, 0600 in ours",
    ]
    assert list(configs({"Cmd": ["a"], "Labels": None}, {"Cmd": ["b"], "Labels": {"a": "b"}})) == [
        "config Cmd: ['a'] in theirs, ['b'] in ours"
    ]
