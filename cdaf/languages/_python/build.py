"""Building a wheel from source, without network, and keeping it by what went in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cdaf import store
from cdaf.errors import CdafError, ResolveError
from cdaf.languages._python import buildenv, isolation
from cdaf.languages._python.source import Source
from cdaf.languages._python.values import Choice
from cdaf.languages._shared import memo, scratch
from cdaf.net.fetch import KIND
from cdaf.projects.pins import Build

_HINT = "mend its build, or lock a version that has wheels"


class Made(msgspec.Struct, frozen=True):
    """A wheel that was built here, canonical, in the store."""

    filename: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where it lies."""
        return store.path(KIND, self.sha256)


def known(choice: Choice, source: Source, pinned: Build, told: Mapping[str, str], place: str = "") -> Made | None:
    """The wheel that these inputs gave before."""
    made = memo.load(_key(choice, source, pinned, told, place), Made)
    return made if made and store.checked(KIND, made.sha256) else None


def on_host(choice: Choice, source: Source, pinned: Build, told: Mapping[str, str]) -> Made:
    """Build on this machine; `told` are variables that the backend is given.

    Raises ResolveError, with the backend's output, when it fails.
    """
    with scratch.folder() as folder:
        built = call(choice, _laid(source, folder), folder, pinned, told, "build_wheel")
        return keep(choice, source, pinned, told, folder / "out" / built)


def keep(choice: Choice, source: Source, pinned: Build, told: Mapping[str, str], built: Path, place: str = "") -> Made:
    """Bring a built wheel into its canonical form and into the store."""
    from cdaf.languages._python.repack import repack

    with scratch.folder() as temporary:
        canonical = repack(built, temporary)
        with canonical.open("rb") as file:
            sha256, _ = store.put(KIND, iter(lambda: file.read(1 << 20), b""))
    made = Made(built.name, sha256)
    memo.save(_key(choice, source, pinned, told, place), made)
    return made


def call(choice: Choice, project: Path, folder: Path, pinned: Build, told: Mapping[str, str], hook: str) -> Any:
    """Call a hook of the project's build backend (PEP 517): `build_wheel` answers with the wheel's file name,
    `get_requires_for_build_wheel` with requirements. Raises ResolveError when it fails.
    """
    from build import BuildException, ProjectBuilder

    environment = buildenv.ensure(pinned.requires)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    failure = f"{choice.name} cannot be built"

    def runner(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        extra = {**told, **(extra_environ or {}), "VIRTUAL_ENV": str(environment)}
        isolation.run(cmd, Path(cwd or project), home, [str(environment / "bin")], extra, failure)

    try:
        builder = ProjectBuilder(project, python_executable=str(environment / "bin" / "python"), runner=runner)
        if hook == "build_wheel":
            return Path(builder.build("wheel", folder / "out")).name
        return sorted(builder.get_requires_for_build("wheel"))
    except BuildException as error:
        raise ResolveError(f"{failure}: {error}", _HINT) from error
    except Exception as error:
        raise _failed(failure, error) from error


def _failed(failure: str, error: Exception) -> CdafError:
    """The error of the step that the backend's caller wrapped."""
    inner = getattr(error, "exception", error)
    if isinstance(inner, CdafError):
        return ResolveError(inner.message, inner.hint or _HINT, inner.output)
    if type(error).__module__.partition(".")[0] == "build":
        return ResolveError(f"{failure}: {inner}", _HINT)
    raise error


def _laid(source: Source, folder: Path) -> Path:
    into = folder / "source"
    into.mkdir()
    return source.lay(into)


def _key(choice: Choice, source: Source, pinned: Build, told: Mapping[str, str], place: str) -> str:
    requires = sorted(each.sha256 for each in pinned.requires)
    settings = msgspec.json.encode(dict(told), order="sorted")
    return memo.key("built", choice.name, source.identity, choice.subdirectory, place, settings, *requires)


def is_pure(filename: str) -> bool:
    """Whether a wheel's name says that it runs on any platform."""
    return filename.removesuffix(".whl").split("-")[-1] == "any"
