"""`pypi:URL` or `pypi:INDEX-NAME`: the service's own wheel, to a package index.

uv uploads. Servers answer "there already" in ten ways and some do not check what they are sent, so the index is asked
before and after, and only its word on the file's SHA-256 counts.
"""

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from cdaf import process, versions
from cdaf.bundles import bundle
from cdaf.bundles.manifest import Dependency, Manifest
from cdaf.errors import CdafError, PublishError
from cdaf.net import http, transfers
from cdaf.registries import credentials
from cdaf.registries.credentials import Credentials
from cdaf.targets import Publication, Release, Target
from cdaf.targets import _pypi_index as indexes
from cdaf.targets._pypi_index import Index

_TRANSIENT = re.compile(r"\b(?:429|50[0234])\b|error sending request|connection|timed? ?out|dns error", re.IGNORECASE)
_LOGIN = re.compile(r"\b40[13]\b|unauthorized|forbidden|authenticat|credential", re.IGNORECASE)
_NO_LOGIN = b"Missing credentials"
_ANYBODY = {
    "UV_PUBLISH_USERNAME": "anonymous",
    "UV_PUBLISH_PASSWORD": "",
}  # for an index that takes uploads from anybody
_OWN_LOGIN = ("UV_PUBLISH_TOKEN", "UV_PUBLISH_USERNAME", "UV_PUBLISH_PASSWORD")
_READ_BACK = 6  # times, with growing waits: large indexes show an upload some seconds later


def check(where: str, manifest: Manifest) -> list[str]:
    """The index must be known, the wheel must be there, and a snapshot's must not take a release's place."""
    return [*indexes.faults(where), *_wheel_faults(manifest)]


def publish(target: Target, release: Release) -> tuple[Publication, ...]:
    """Upload every wheel of the service that is not there. Raises PublishError, transient when later may be better."""
    index = indexes.find(target.where)
    return tuple(_publish(target, index, release, wheel) for wheel in _wheels(release.bundle.manifest))


def foretell(target: Target, release: Release) -> tuple[Publication, ...]:
    """The wheels that `publish` would upload; their URLs are known only once the index lists them."""
    where = http.clean(indexes.find(target.where).simple[0]).rstrip("/")
    return tuple(
        Publication(
            str(target),
            f"{where}/{_normalized(each.name)}/{each.archive.rpartition('/')[2]}#sha256={each.sha256}",
            f"sha256:{each.sha256}",
            (),
            "planned",
        )
        for each in _wheels(release.bundle.manifest)
    )


def _publish(target: Target, index: Index, release: Release, wheel: Dependency) -> Publication:
    name = wheel.archive.rpartition("/")[2]
    project = _normalized(wheel.name)
    before = indexes.listed(index, project, name, _login(index, index.simple[0]))
    found = before or _read_back(
        index, project, name, _upload(index, name, bundle.stream(release.bundle, wheel.archive))
    )
    if found.sha256 != wheel.sha256:
        raise PublishError(
            f"{name} stands in {http.clean(found.url)} already with other bytes (sha256 {found.sha256})",
            "publish a new version; what is published stays",
        )
    digest = f"sha256:{wheel.sha256}"
    reference = f"{http.clean(found.url)}#sha256={wheel.sha256}"
    return Publication(str(target), reference, digest, (), "present" if before else "created")


def _read_back(index: Index, project: str, name: str, refused: CdafError | None) -> indexes.File:
    """What the index lists after an upload: after a refusal one look, for another may have been first."""
    for attempt in range(1, 2 if refused else _READ_BACK + 1):
        found = indexes.listed(index, project, name, _login(index, index.simple[0]))
        if found:
            return found
        if not refused:
            transfers.wait(http.pause(attempt))
    if refused:
        raise refused
    asked = ", ".join(http.clean(url) for url in index.simple)
    raise PublishError(
        f"{name} was uploaded, and {asked} does not list it", "set UV_PUBLISH_CHECK_URL to the index's URL"
    )


def _upload(index: Index, name: str, content: IO[bytes]) -> CdafError | None:
    """Run uv in a folder of its own, so that no project's settings meddle; its refusal is returned, not raised."""
    from uv import find_uv_bin

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        with path.open("wb") as file, content as source:
            shutil.copyfileobj(source, file)
        env = _environment(index)
        argv = [find_uv_bin(), "publish", "--no-progress", "--color=never", "--publish-url", index.upload]
        # Trusted publishing is for the CI of public hosts; on loopback nobody could answer it.
        argv += ["--trusted-publishing=never"] if http.is_loopback(urlsplit(index.upload).hostname or "") else []
        done = process.run([*argv, str(path)], cwd=Path(folder), env=env)
        if done.code and not env and _NO_LOGIN in done.stderr:
            done = process.run([*argv, str(path)], cwd=Path(folder), env=_ANYBODY)
    if done.code == 0:
        return None
    said = _without(done.stderr.decode(errors="replace").strip(), env)
    hint = "set UV_PUBLISH_TOKEN, or UV_PUBLISH_USERNAME and UV_PUBLISH_PASSWORD" if _LOGIN.search(said) else ""
    transient = bool(_TRANSIENT.search(said)) and not hint
    return PublishError(f"{http.clean(index.upload)} did not take {name}", hint, said, transient=transient)


def _environment(index: Index) -> dict[str, str]:
    """The login for the upload: what the user set for uv, else what netrc, the index's variables or keyring know."""
    import os

    if any(os.environ.get(name) for name in _OWN_LOGIN):
        return {name: os.environ[name] for name in _OWN_LOGIN if name in os.environ}
    login = credentials.for_index(index.upload, index.name)
    return {"UV_PUBLISH_USERNAME": login.username, "UV_PUBLISH_PASSWORD": login.secret} if login else {}


def _login(index: Index, url: str) -> Credentials | None:
    """The login for reading: the index's own, else the upload's where it is the same server."""
    found = credentials.for_index(url, index.name)
    if found or not http.same_origin(url, index.upload):
        return found
    env = _environment(index)
    if token := env.get("UV_PUBLISH_TOKEN"):
        return Credentials("__token__", token)
    name = env.get("UV_PUBLISH_USERNAME")
    return Credentials(name, env.get("UV_PUBLISH_PASSWORD", "")) if name else None


def _without(text: str, secrets: Mapping[str, str]) -> str:
    for name, value in secrets.items():
        text = text.replace(value, "***") if value and name != "UV_PUBLISH_USERNAME" else text
    return re.sub(r"(?<=://)[^/\s@]+@", "", text)


def _normalized(name: str) -> str:
    """A project's name as the simple index spells it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _wheels(manifest: Manifest) -> list[Dependency]:
    own = _normalized(manifest.service.name)
    found = {each.archive: each for each in manifest.dependencies if _normalized(each.name) == own}
    return [each for name, each in sorted(found.items()) if urlsplit(name).path.endswith(".whl")]


def _wheel_faults(manifest: Manifest) -> list[str]:
    wheels = _wheels(manifest)
    if not wheels:
        return [
            f"the bundle holds no wheel of {manifest.service.name} itself: only a service that is a package has one"
        ]
    snapshot = versions.parse(manifest.service.version)
    if snapshot.is_release or any("+" in wheel.version for wheel in wheels):
        return []
    return [
        f"this is the snapshot {snapshot.semver}, and its wheel would take the place of release {wheels[0].version}; "
        f"tag the commit v{snapshot.number}, or package with --release"
    ]
