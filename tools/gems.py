"""Gems for the package index, made by RubyGems of what Debian has of them: `tools/gems.rb`, in a container of Ruby.

As long as Debian's packages are the same, so are the gems, byte for byte: their times are fixed. When Debian moves on
to other versions, the example's lock has to follow: `python3 tools/gems.py lock` has Bundler write it again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tools import apt, engine, rootfs, standins, state
from tools.engine import Engine, environment
from tools.state import ToolError

NOTE = "gems"
IMAGE = standins.RUBY_BUILD.reference
PROGRAM = Path(__file__).with_suffix(".rb")
PURE = (
    *("ruby-sinatra", "ruby-rack-protection", "ruby-rack", "ruby-rack-session", "ruby-mustermann", "ruby-minitest"),
    *("ruby-tilt", "ruby-ruby2-keywords", "ruby-redis", "ruby-redis-client", "ruby-connection-pool", "ruby-base64"),
)
NATIVE = ("ruby-ffi",)  # for every architecture
HERE = ("ruby-nio4r",)  # for the first alone
SOURCES = ("puma", "ruby-bcrypt")
ARCHES = ("amd64", "arm64")
LOCK = state.CHECKOUT / "examples" / "inventory" / "Gemfile.lock"


def is_made(folder: Path) -> bool:
    """Whether the folder holds what would be made now."""
    return state.read(NOTE).get("key") == _key() and (folder / "versions").is_file()


def _key() -> str:
    parts = (rootfs.SUITE, rootfs.EPOCH, PURE, NATIVE, HERE, SOURCES, ARCHES, PROGRAM.read_text())
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def make(folder: Path, engine: Engine) -> None:
    """Write the gems and their index into the folder."""
    with TemporaryDirectory(dir=state.folder(), prefix="gems-") as temporary:
        place = Path(temporary)
        place.chmod(0o755)  # for the user that apt downloads as
        options = _options(place)
        _apt(options, "update", "-q")
        _packages(options, place, "amd64", (*PURE, *HERE, *NATIVE))
        _packages(options, place, "arm64", NATIVE)
        _sources(options, place)
        made = _built(place, engine)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made, folder)
    state.write(NOTE, {"key": _key()})
    if gone := _gone(folder):
        state.say(
            f"{LOCK.parent.name} locks what Debian has no longer, {', '.join(gone)}: run `python3 tools/gems.py lock`"
        )


def _gone(folder: Path) -> list[str]:
    """The gems of the example's lock that the index does not have."""
    named = re.findall(r"^ {4}(\S+) \(([^)]+)\)$", LOCK.read_text(), re.MULTILINE)
    return [f"{name} {number}" for name, number in named if not (folder / "gems" / f"{name}-{number}.gem").is_file()]


def lock(found: Engine) -> None:
    """Have Bundler lock the example again, with the index as the mirror of the public one."""
    from tools import index

    env, why = os.environ | environment(found), "lock the example"
    told = ["-e", f"BUNDLE_MIRROR__ALL={index.url('ruby')}", "-e", "LC_ALL=C.UTF-8", "-w", "/app", "--network", "host"]
    locking = ["sh", "-c", "rm -f Gemfile.lock; bundle lock --add-platform ruby x86_64-linux"]
    container = state.run([found.client, "create", *told, IMAGE, *locking], why, env).split()[-1]
    try:
        state.run([found.client, "cp", f"{LOCK.parent}/.", f"{container}:/app"], why, env)
        state.run([found.client, "start", "--attach", container], why, env)
        state.run([found.client, "cp", f"{container}:/app/Gemfile.lock", str(LOCK)], why, env)
    finally:
        state.run([found.client, "rm", "--force", container], why, env)


def _options(place: Path) -> list[str]:
    """A world of its own for apt: the suite's binaries and sources, whatever this machine's lists hold."""
    for part in ("sources", "lists/partial", "cache/archives/partial", "got"):
        (place / "apt" / part).mkdir(parents=True)
    # One archive holds both: where a machine's sources lead to binaries, sources lie beside them.
    lines = [each for text in apt.lines(rootfs.SUITE) for each in text.splitlines()]
    listed = [*lines, *(each.replace("deb ", "deb-src ", 1) for each in lines)]
    (place / "apt" / "sources" / "all.list").write_text("\n".join(listed) + "\n")
    settings = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": place / "apt" / "sources",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State::Lists": place / "apt" / "lists",
        "Dir::State::Status": "/dev/null",
        "Dir::Cache": place / "apt" / "cache",
        "APT::Architecture": "amd64",
        "APT::Architectures": ",".join(ARCHES),
        "APT::Sandbox::User": "root",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _apt(options: list[str], *command: str, cwd: Path | None = None) -> None:
    env = os.environ | {"LC_ALL": "C.UTF-8"}
    inside = ["env", "-C", str(cwd)] if cwd else []
    waits = ["-o", "Acquire::Retries=3"]
    state.run([*inside, "apt-get", *waits, *options, *command], "fetch what gems are made of", env)


def _packages(options: list[str], place: Path, arch: str, names: tuple[str, ...]) -> None:
    got = place / "got" / arch
    got.mkdir(parents=True)
    _apt(options, "download", "-q", *(f"{name}:{arch}" if name in NATIVE else name for name in names), cwd=got)
    (place / "in" / arch).mkdir(parents=True)
    for package in sorted(got.glob("*.deb")):
        state.run(["dpkg-deb", "-x", str(package), str(place / "in" / arch)], f"unpack {package.name}")


def _sources(options: list[str], place: Path) -> None:
    got = place / "got" / "sources"
    got.mkdir(parents=True)
    _apt(options, "source", "-q", "--download-only", "--only-source", "--tar-only", *SOURCES, cwd=got)
    into = place / "in" / "sources"
    into.mkdir(parents=True)
    for archive in sorted(got.glob("*.orig.tar.*")):
        state.run(["tar", "-xf", str(archive), "-C", str(into), "--no-same-owner"], f"unpack {archive.name}")


def _built(place: Path, engine: Engine) -> Path:
    """What the program made, brought back; files are copied, for the engine may be another machine's."""
    env = os.environ | environment(engine)
    docker, why = engine.client, "make gems in a container"
    shutil.copy(PROGRAM, place / "in" / "make.rb")
    told = [word for each in (f"SOURCE_DATE_EPOCH={rootfs.EPOCH}", "LC_ALL=C.UTF-8") for word in ("-e", each)]
    creating = [docker, "create", "--network", "none", *told, IMAGE, "ruby", "/build/in/make.rb"]
    container = state.run(creating, why, env).split()[-1]
    try:
        (place / "build").mkdir()
        (place / "in").rename(place / "build" / "in")
        state.run([docker, "cp", str(place / "build"), f"{container}:/"], why, env)
        state.run([docker, "start", "--attach", container], why, env)
        state.run([docker, "cp", f"{container}:/build/out", str(place / "out")], why, env)
    finally:
        state.run([docker, "rm", "--force", container], why, env)
    if not (place / "out" / "versions").is_file():
        raise ToolError("no gems were made", "", "")
    return place / "out"


def main(arguments: list[str]) -> int:
    """`lock` is the one verb."""
    found = engine.running() or engine.find()
    if arguments != ["lock"] or found is None:
        print(__doc__ if found else "no engine runs: `python3 tools/bare.py up`", file=sys.stderr)
        return 2
    try:
        lock(found)
    except ToolError as error:
        return state.explain(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
