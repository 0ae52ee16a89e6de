"""What the tests of the PHP language share: archives, locks made by hand, and Composer itself in a container."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cdaf import engine
from cdaf.languages._php import contenthash
from cdaf.projects import pins, project
from cdaf.registries import reference, registry
from tests import loopback, makers

BASE, COMPOSER = "php:8.4-cli", "composer:2"
FACTS = pins.Facts(
    interpreter="/usr/local/bin/php",
    interpreter_version="8.4.28",
    libc="glibc",
    libc_version="2.41",
    passwd="root:x:0:0:root:/root:/bin/bash\n",
    group="root:x:0:\n",
    modules=("core 8.4.28", "ctype 8.4.28", "json 8.4.28", "redis 6.1.0", "zend-opcache 8.4.28"),
)
CONFIG = '[service]\nstart = ["php", "main.php"]\nversion = "1.0.0"\ninclude = ["main.php", "src/**"]\n'
COMMIT = "0123456789abcdef0123456789abcdef01234567"
_ANY = (
    "foreach (['/usr/share/php/Composer/autoload.php', 'phar:///usr/bin/composer/vendor/autoload.php'] as $f)"
    " if (@include $f) break;"
)


def archive(path: Path, files: Mapping[str, str | bytes], *, top: str = "acme-thing-0123456/", **how: Any) -> Path:
    """A zip as forges make it: all of it below one folder; `executable` and `links` name files of other kinds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    links: Mapping[str, str] = how.get("links", {})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in {**files, **links}.items():
            member = zipfile.ZipInfo(top + name, (2024, 5, 6, 7, 8, how.get("second", 0)))
            member.compress_type = zipfile.ZIP_DEFLATED
            mode = 0o120777 if name in links else 0o100755 if name in how.get("executable", ()) else 0o100644
            member.external_attr = mode << 16
            out.writestr(member, data, compresslevel=how.get("level"))
    return path


def tarball(path: Path, files: Mapping[str, str], *, top: str = "thing/") -> Path:
    """The same as a tar, compressed by gzip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as out:
        for name, text in files.items():
            member = tarfile.TarInfo(top + name)
            member.size = len(text.encode())
            out.addfile(member, io.BytesIO(text.encode()))
    return path


def sha1(path: Path) -> str:
    """What a lock has for `shasum`."""
    return hashlib.sha1(path.read_bytes()).hexdigest()


def entry(name: str, path: Path | None = None, version: str = "1.0.0", **more: Any) -> dict[str, Any]:
    """A package of a lock; `path` is its archive, with a checksum unless `shasum` says otherwise."""
    told: dict[str, Any] = {"name": name, "version": version}
    if path is not None:
        form = "zip" if path.suffix == ".zip" else "tar"
        shasum = more.pop("shasum", None)
        url = more.pop("url", str(path))
        dist = {"type": form, "url": url, "reference": COMMIT, "shasum": sha1(path) if shasum is None else shasum}
        told["dist"] = {**dist, **more.pop("dist", {})}
    return {**told, "type": "library", "license": ["MIT"], **more}


def lock(
    manifest: Mapping[str, Any], packages: Sequence[dict[str, Any]], dev: Sequence[dict[str, Any]] = (), **more: Any
) -> dict[str, Any]:
    """A composer.lock of these packages that is in step with a composer.json."""
    parsed = contenthash.parse(json.dumps(manifest).encode(), "composer.json")
    return {
        "_readme": ["This file locks the dependencies of your project to a known state"],
        "content-hash": contenthash.of(parsed),
        "packages": list(packages),
        "packages-dev": list(dev),
        "aliases": [],
        "minimum-stability": "stable",
        "stability-flags": {each["name"]: 20 for each in packages if each["version"].startswith("dev-")},
        "prefer-stable": False,
        "prefer-lowest": False,
        "platform": {},
        "platform-dev": {},
        "plugin-api-version": "2.6.0",
        **more,
    }


def manifest(packages: Sequence[dict[str, Any]], dev: Sequence[dict[str, Any]] = (), **more: Any) -> dict[str, Any]:
    """A composer.json that asks for all of these."""
    told: dict[str, Any] = {"name": "acme/svc", "type": "project"}
    for key, listed in (("require", packages), ("require-dev", dev)):
        if listed:
            told[key] = {each["name"]: each["version"] for each in listed}
    return {**told, **more}


def service(
    folder: Path,
    packages: Sequence[dict[str, Any]],
    dev: Sequence[dict[str, Any]] = (),
    *,
    config: str = CONFIG,
    files: Mapping[str, str] | None = None,
    locked: Mapping[str, Any] | None = None,
    **more: Any,
) -> project.Project:
    """A committed service with these packages.

    `more` goes to composer.json (`composer` is its config), `locked` over the lock.
    """
    # Where every class is listed, nothing is written before archives are there: collecting needs no engine then.
    more["config"] = more.pop("composer", {"optimize-autoloader": True})
    told = manifest(packages, dev, **more)
    whole = {**lock(told, packages, dev), **(locked or {})}
    makers.write(
        folder,
        {
            "composer.json": json.dumps(told, indent=4),
            "composer.lock": json.dumps({key: value for key, value in whole.items() if value is not None}, indent=4),
            "cdaf.toml": config,
            "main.php": "<?php require __DIR__ . '/vendor/autoload.php';\n",
            "src/App.php": "<?php\nnamespace App;\nclass App {}\n",
            **(files or {}),
        },
    )
    makers.repository(folder, {})
    return project.read(folder)


def pinned(found: project.Project, *archives: pins.Archive, facts: pins.Facts = FACTS) -> pins.Pins:
    """Pins of the base and of Composer, for no real image."""
    bases = tuple(
        pins.Base(
            reference=each, platform=platform, digest=f"sha256:{hashlib.sha256(each.encode()).hexdigest()}", facts=facts
        )
        for each in (BASE, COMPOSER)
        for platform in found.settings.image.platforms
    )
    return pins.Pins(bases=bases, archives=archives)


@functools.cache
def image(name: str = COMPOSER) -> str:
    """The engine's id of an image, as the registry serves it now."""
    platform = engine.native()
    return engine.ensure(name, registry.resolve(reference.parse(name), platform).digest, platform)


def run(
    script: str, files: Mapping[str, bytes], *, name: str = COMPOSER, take: str | None = "/app"
) -> dict[str, tuple[int, bytes]]:
    """Run a shell script at /app, where these files are; what is there afterwards: mode and bytes by name.

    Symbolic links come as mode 0o777 with their target. The machine's own network serves, for an index on loopback.
    """
    put = io.BytesIO()
    with tarfile.open(fileobj=put, mode="w") as out:
        for path, data in {"app/.keep": b"", **{f"app/{path}": data for path, data in files.items()}}.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o755 if data.startswith(b"#!") else 0o644
            out.addfile(member, io.BytesIO(data))
    env = {"COMPOSER_ALLOW_SUPERUSER": "1", "COMPOSER_HOME": "/composer", "COMPOSER_NO_AUDIT": "1"}
    ran = engine.run(
        image(name), ["/bin/sh", "-ec", script], put=put.getvalue(), take=take, env=env, network="host", workdir="/app"
    )
    assert ran.code == 0, (ran.stdout + ran.stderr).decode()
    if take is None:
        return {"stdout": (0, ran.stdout)}
    found = {}
    with tarfile.open(fileobj=io.BytesIO(ran.taken)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            path = member.name.partition("/")[2]
            if member.issym():
                found[path] = (0o777, member.linkname.encode())
            elif file:
                found[path] = (member.mode, file.read())
    return found


def php(code: str, files: Mapping[str, bytes] = {}) -> str:
    """What a program prints that may use Composer's own classes."""
    return run("php script.php", {**files, "script.php": f"<?php {_ANY} {code}".encode()}, take=None)["stdout"][
        1
    ].decode()


@contextmanager
def serving(folder: Path, login: str = "") -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server of a folder's files on loopback: its address, and what was asked with which login."""
    asked: list[tuple[str, str]] = []

    class Handler(loopback.Quiet, http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self) -> None:
            told = self.headers.get("Authorization", "")
            asked.append((self.path, told))
            if login and told != login:
                self.send_error(401)
            else:
                super().do_GET()

    with loopback.serving(Handler) as address:
        yield address, asked
