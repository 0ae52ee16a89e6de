"""The canary: a secret in every place where a user could put one, and none in anything that cdaf makes or says."""

import base64
import gzip
import io
import json
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import pykit
from tests.acceptance import cdaf

pytestmark = pytest.mark.docker

LOCK, INDEX, ENVIRONMENT, COMPOSE, LOGIN, BUILD, PASSING = (
    f"canary-{word}-3f9c1d" for word in ("lock", "index", "environment", "compose", "login", "build", "passing")
)
CANARIES = (LOCK, INDEX, ENVIRONMENT, COMPOSE, LOGIN, BUILD, PASSING)

CONFIG = f"""
[service]
start = ["python", "-u", "/app/serve.py"]
port = 8000
include = ["serve.py"]
[image]
base = "{pykit.BASE}"
[smoke]
health = "/"
secrets = ["SERVICE_TOKEN", "SIDE_SECRET"]
compose = ["side.yaml"]
checks = ["python", "-c", "import os; print('checks have', os.environ['SERVICE_TOKEN'])"]
"""
SERVE = """
import http.server, os
print("service has", os.environ["SERVICE_TOKEN"])
http.server.test(http.server.SimpleHTTPRequestHandler, port=8000, bind="0.0.0.0")
"""
SIDE = f"""
services:
  side:
    image: {pykit.BASE}
    command: ["python", "-c", "import os, time; print('side has', os.environ['GIVEN'], flush=True); time.sleep(600)"]
    environment:
      GIVEN: ${{SIDE_SECRET}}
    healthcheck:
      test: ["CMD", "true"]
      interval: 1s
"""
# The service's own build sees whatever its environment holds, and puts it into the wheel.
NOSY = pykit.BACKEND.replace(
    "    files = {p.as_posix()",
    '    pathlib.Path("src/svc/seen.txt").write_text(repr(dict(os.environ)))\n'
    '    paths.append(pathlib.Path("src/svc/seen.txt"))\n    files = {p.as_posix()',
)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[pykit.Index]:
    """An index with two packages, for those who log in."""
    with pykit.serving(tmp_path / "index") as served:
        pykit.wheel(served.folder, "from-lock")
        pykit.wheel(served.folder, "from-index")
        yield served


@pytest.fixture
def service(tmp_path: Path, index: pykit.Index) -> Path:
    """A service whose lockfile carries a password for one of its packages."""
    folder = tmp_path / "svc"
    files = {"serve.py": SERVE, "side.yaml": SIDE, "cdaf.toml": CONFIG}
    project = pykit.package("svc", "1.0.0", 'dependencies = ["from-lock", "from-index"]')
    pykit.write(folder, {**project, "backend/tiny.py": NOSY, **files})
    pykit.lock(folder, index)
    lock = (folder / "uv.lock").read_text()
    url = f"{index.url}/files/from_lock-1.0-py3-none-any.whl"
    assert url in lock
    (folder / "uv.lock").write_text(
        lock.replace(url, url.replace("http://127.0.0.1", f"http://reader:{LOCK}@localhost"))
    )
    pykit.commit(folder)
    return folder


def logins(index: pykit.Index) -> list[str]:
    """Who the index was asked by, as name and password."""
    told = [header for _, _, header in index.asked if header]
    return [base64.b64decode(header.partition(" ")[2]).decode() for header in told]


def everything(data: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """Bytes, and whatever they unpack to: zips, gzip streams, tars, to the bottom."""
    yield name, data
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for each in archive.infolist():
                yield from everything(archive.read(each), f"{name}!{each.filename}")
    elif data[:2] == b"\x1f\x8b":
        yield from everything(gzip.decompress(data), f"{name}!gzip")
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive_of_files:
            for member in archive_of_files:
                if member.isfile() and (file := archive_of_files.extractfile(member)):
                    yield from everything(file.read(), f"{name}!{member.name}")


def leaks(folder: Path) -> list[str]:
    """Every place below a folder that holds a canary, plainly or in base64."""
    needles = [form for canary in CANARIES for form in (canary.encode(), base64.b64encode(canary.encode())[:-4])]
    return [
        f"{name}: {needle!r}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for name, data in everything(path.read_bytes(), str(path.relative_to(folder)))
        for needle in needles
        if needle in data
    ]


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    """A search that finds nothing anywhere would prove nothing."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", f"x{LOCK}y")
    outer = io.BytesIO()
    with tarfile.open(fileobj=outer, mode="w") as tar:
        info = tarfile.TarInfo("b.whl")
        info.size = len(inner.getvalue())
        tar.addfile(info, io.BytesIO(inner.getvalue()))
    (tmp_path / "layer").write_bytes(gzip.compress(outer.getvalue()))
    assert zlib.crc32(LOCK.encode()) != 0
    assert len(leaks(tmp_path)) == 1


def test_no_secret_is_in_anything(
    service: Path, index: pykit.Index, registry_factory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_factory(user="pusher", password=LOGIN)
    login = base64.b64encode(f"pusher:{LOGIN}".encode()).decode()
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {registry.authority: {"auth": login}}}))
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login reader password {INDEX}\n")
    netrc.chmod(0o600)
    for name, value in {
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "CDAF_CACHE": str(tmp_path / "cache"),
        "NETRC": str(netrc),
        "SERVICE_TOKEN": ENVIRONMENT,
        "SIDE_SECRET": COMPOSE,
        "BUILD_TOKEN": BUILD,
        "PASSING_BY": PASSING,
    }.items():
        monkeypatch.setenv(name, value)

    out = tmp_path / "out"
    said = [cdaf("package", service, "--out", out)]
    bundle = Path(said[0].stdout.strip())
    assert {f"reader:{LOCK}", f"reader:{INDEX}"} <= set(logins(index))

    layout = tmp_path / "out" / "layout"
    targets = ("--to", f"layout:{layout}", "--to", f"registry:{registry.authority}/team/svc")
    said.append(cdaf("release", bundle, *targets))
    for verb in ("verify", "show"):
        said.append(cdaf(verb, bundle))
    said.append(cdaf("show", bundle, "--json"))
    said.append(cdaf("doctor"))

    logs = {path.name: path.read_text() for path in out.rglob("*.log")}
    assert any("service has" in text for text in logs.values()), "the service's log is not there to be looked at"
    assert any("side has" in text for text in logs.values()), "the sidecar's log is not there to be looked at"
    assert any("checks have" in text for text in logs.values()), "the checks' log is not there to be looked at"
    (tmp_path / "out" / "said.txt").write_text("".join(each.stdout + each.stderr for each in said))
    (tmp_path / "out" / "cdaf.lock").write_bytes((service / "cdaf.lock").read_bytes())
    assert leaks(out) == []


def test_a_failing_smoke_test_tells_no_secret(
    service: Path, index: pykit.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log's tail is part of the error: what it says of a secret is masked there too."""
    crash = SERVE.replace("http.server.test", 'raise SystemExit("died of " + os.environ["SERVICE_TOKEN"])\n#')
    pykit.write(service, {"serve.py": crash})
    pykit.commit(service)
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SERVICE_TOKEN", ENVIRONMENT)
    monkeypatch.setenv("SIDE_SECRET", COMPOSE)
    out = tmp_path / "out"
    bundle = Path(cdaf("package", service, "--out", out).stdout.strip())
    failed = cdaf("release", bundle, "--to", f"layout:{out}/layout", expect=7)
    assert "died of" in failed.stderr
    (out / "said.txt").write_text(failed.stdout + failed.stderr)
    assert leaks(out) == []
    assert not (out / "layout").exists()
