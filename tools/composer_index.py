"""A Composer repository of real packages: upstream sources of Debian's packages, as forges would serve them.

`packages.json` names the public addresses, and a mirror (in Composer's own sense) that leads to the files here: a lock
made by it is one that the public index would give too. What `.gitattributes` leaves out of a forge's archives is left
out here.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tools import apt, index, rootfs, state
from tools.state import ToolError

if TYPE_CHECKING:
    from tools.engine import Engine

NAME = "composer"
REVISION = 1  # of how the repository is made; a new one makes all anew
_EPOCH = (2025, 8, 9, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package: Debian's name of its source, the repository on the forge, tag, commit and its time."""

    source: str
    repository: str
    version: str
    commit: str
    time: str


PACKAGES = (
    Package("php-psr-log", "php-fig/log", "3.0.2", "f16e1d5863e37f8d8c2a01719f5b34baa2b714d3", "2024-09-11T13:17:53"),
    Package(
        "php-psr-container",
        "php-fig/container",
        "1.1.2",
        "513e0666f7216c7459170d56df27dfcefe1689ea",
        "2021-11-05T16:50:12",
    ),
    Package(
        "php-psr-http-message",
        "php-fig/http-message",
        "1.1",
        "cb6ce4845ce34a8ad9e68117c10ee90a29919eba",
        "2023-04-04T09:50:52",
    ),
    Package(
        "php-psr-http-factory",
        "php-fig/http-factory",
        "1.1.0",
        "2b4765fddfe3b508ac62f829e852b1501d3f6e8a",
        "2024-04-15T12:06:14",
    ),
    Package(
        "php-nyholm-psr7", "Nyholm/psr7", "1.8.2", "a71f2b11690f4b24d099d6b16690a90ae14fc6f3", "2024-09-09T07:06:30"
    ),
    Package(
        "php-nikic-fast-route",
        "nikic/FastRoute",
        "v1.3.0",
        "181d480e08d9476e61381e04a71b34dc0432e812",
        "2018-02-13T20:26:39",
    ),
    Package(
        "php-monolog", "Seldaek/monolog", "3.9.0", "10d85740180ecba7896c87e06a166e0c95a0e3b6", "2025-03-24T10:02:05"
    ),
    Package(
        "php-nrk-predis", "predis/predis", "v2.4.0", "f49e13ee3a2a825631562aa0223ac922ec5d058b", "2025-04-30T15:16:02"
    ),
    Package(
        "php-pimple", "silexphp/Pimple", "v3.5.0", "a94b3a4db7fb774b3d78dad2315ddc07629e1bed", "2021-10-28T11:13:42"
    ),
    Package(
        "php-parsedown", "erusev/parsedown", "1.7.4", "cb17b6477dfff935958ba01325f2e8a2bfa6dab3", "2019-12-30T22:54:17"
    ),
    Package(
        "php-ramsey-uuid", "ramsey/uuid", "4.7.6", "91039bc1faa45ba123c4328958e620d382ec7088", "2024-04-27T21:32:50"
    ),
    Package(
        "php-ramsey-collection",
        "ramsey/collection",
        "2.0.0",
        "a4b48764bfbb8f3a6a4d1aeb1a35bb5e9ecac4a5",
        "2022-12-31T21:50:55",
    ),
    Package(
        "php-brick-math", "brick/math", "0.12.3", "866551da34e9a618e64a819ee1e01c20d8a588ba", "2025-02-28T13:11:00"
    ),
    Package(
        "php-parser", "nikic/PHP-Parser", "v5.4.0", "447a020a1f875a434d62f2a401f53b82a396e494", "2024-12-30T11:07:19"
    ),
)


def is_made(folder: Path) -> bool:
    """Whether the folder holds what would be made now."""
    try:
        return (folder / ".key").read_text() == _key()
    except FileNotFoundError:
        return False


def _key() -> str:
    return hashlib.sha256(repr((REVISION, PACKAGES, index.url())).encode()).hexdigest()


def make(folder: Path, engine: Engine) -> None:
    """Write `packages.json` and the archives. Call it under the lock."""
    del engine
    folder.mkdir(parents=True, exist_ok=True)
    sources = _sources(folder.parent / f".{NAME}-sources")
    listed: dict[str, dict[str, Any]] = {}
    for package in PACKAGES:
        files = _exported(sources[package.source])
        manifest = json.loads(files["composer.json"][0])
        name = manifest["name"]
        place = folder / "dists" / name / f"{package.commit}.zip"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(_zipball(package, files))
        listed[name] = {package.version: _entry(package, manifest)}
    told = {
        "packages": listed,
        "mirrors": [{"dist-url": f"{index.url(NAME)}/dists/%package%/%reference%.%type%", "preferred": True}],
    }
    (folder / "packages.json").write_text(json.dumps(told, indent=1))
    (folder / "config.json").write_text(json.dumps(_config(), indent=1))
    (folder / ".key").write_text(_key())


def _config() -> dict[str, Any]:
    """What leads Composer to the repository: the config.json of a COMPOSER_HOME."""
    return {
        "config": {"secure-http": False},
        "repositories": [{"type": "composer", "url": index.url(NAME)}, {"packagist.org": False}],
    }


def home() -> Path:
    """The COMPOSER_HOME whose config.json leads to the repository."""
    return index.folder() / NAME


def _entry(package: Package, manifest: dict[str, Any]) -> dict[str, Any]:
    forge = f"https://api.github.com/repos/{package.repository}/zipball/{package.commit}"
    return {
        **{key: value for key, value in manifest.items() if key not in ("config", "scripts", "minimum-stability")},
        "version": package.version,
        "source": {
            "type": "git",
            "url": f"https://github.com/{package.repository}.git",
            "reference": package.commit,
        },
        "dist": {"type": "zip", "url": forge, "reference": package.commit, "shasum": ""},
        "time": f"{package.time}+00:00",
    }


def _sources(home: Path) -> dict[str, Path]:
    """Upstream's tar of each source package, by the package's name, checked by apt's signed lists."""
    for part in ("sources", "lists/partial"):
        (home / part).mkdir(parents=True, exist_ok=True)
    lines = [line.replace("deb ", "deb-src ", 1) for line in "\n".join(apt.lines(rootfs.SUITE)).splitlines()]
    plain = [line for line in lines if "-security" not in line]
    (home / "sources" / "all.list").write_text("\n".join(plain) + "\n")
    options = [
        *("-o", "Dir::Etc::SourceList=/dev/null"),
        *("-o", f"Dir::Etc::SourceParts={home / 'sources'}"),
        *("-o", f"Dir::State::Lists={home / 'lists'}"),
        *("-o", f"Dir::Cache::pkgcache={home / 'pkgcache.bin'}"),
        *("-o", f"Dir::Cache::srcpkgcache={home / 'srcpkgcache.bin'}"),
        *("-o", "Acquire::Retries=3"),
    ]
    env = os.environ | {"LC_ALL": "C.UTF-8"}
    state.run(["apt-get", *options, "update", "-q"], "read the lists of source packages", env, "read apt's own message")
    names = [package.source for package in PACKAGES]
    told = state.answers(["apt-get", *options, "source", "--print-uris", "-q", *names], env) or ""
    found = {}
    for uri, file, digest in re.findall(r"^'([^']+)' (\S+\.orig\.tar\.\w+) \d+ (\S+)$", told, re.MULTILINE):
        place = home / file
        if not place.exists():
            helper = "/usr/lib/apt/apt-helper"
            state.run([helper, *options, "download-file", uri, str(place), digest], f"fetch {file}", env, "try again")
        found[file.partition("_")[0]] = place
    for package in PACKAGES:
        if f"_{package.version.removeprefix('v')}.orig" not in found.get(package.source, Path()).name:
            raise ToolError(
                f"Debian has no source of {package.source} {package.version}", "mend tools/composer_index.py"
            )
    return found


def _exported(tar: Path) -> dict[str, tuple[bytes, bool]]:
    """The files below the tar's top folder that a forge's archive would hold, with whether they are executable."""
    with TemporaryDirectory() as name:
        tree, plain = Path(name) / "tree", {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        tree.mkdir()
        with tarfile.open(tar) as archive:
            archive.extraction_filter = lambda member, _: member
            archive.extractall(tree)
        (top,) = tree.iterdir()
        env = (
            os.environ
            | plain
            | {
                f"GIT_{who}_{what}": "t@example.invalid"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            }
        )
        for words in (["init", "-q"], ["add", "-A", "-f"], ["commit", "-q", "-m", "c"]):
            state.run(["git", "-C", str(top), *words], f"git {words[0]}", env)
        state.run(["git", "-C", str(top), "archive", "-o", f"{name}/out.tar", "HEAD"], "git archive", env)
        with tarfile.open(f"{name}/out.tar") as archive:
            members = [(each, archive.extractfile(each)) for each in archive if each.isfile()]
            return {each.name: (file.read(), bool(each.mode & 0o100)) for each, file in members if file}


def _zipball(package: Package, files: dict[str, tuple[bytes, bool]]) -> bytes:
    """The files as a forge archives them: below one folder that is named after repository and commit."""
    top = f"{package.repository.replace('/', '-')}-{package.commit[:7]}"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.comment = package.commit.encode()
        for name, (data, executable) in sorted(files.items()):
            member = zipfile.ZipInfo(f"{top}/{name}", _EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = (0o100755 if executable else 0o100644) << 16
            made.writestr(member, data)
    return out.getvalue()
