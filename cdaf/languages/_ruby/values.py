"""What crosses between the parts of the Ruby language."""

import posixpath

import msgspec

from cdaf.projects.pins import Base

BUNDLE = "vendor/bundle"
RUBY = "ruby"  # the platform of gems that are for every one


class Spec(msgspec.Struct, frozen=True):
    """A gem as the lock names it: `platform` is `ruby` or one that it was built for, `requires` the gems it needs."""

    name: str
    version: str
    platform: str = RUBY
    requires: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """Version and platform as locks, file names and folders have them."""
        return self.version if self.platform == RUBY else f"{self.version}-{self.platform}"

    @property
    def full(self) -> str:
        """The name of its file and its folder."""
        return f"{self.name}-{self.number}"


class Source(msgspec.Struct, frozen=True):
    """A section of the lock: a `gem` index, a `git` commit or a `path`, and what comes from there.

    `remotes` of an index are tried last to first, as Bundler does.
    """

    kind: str
    remotes: tuple[str, ...]
    specs: tuple[Spec, ...]
    revision: str = ""
    glob: str = ""


class Dependency(msgspec.Struct, frozen=True):
    """What a Gemfile asks for: requirements as written ("~> 2.0"); `pinned` where a source of its own is named."""

    name: str
    requirements: tuple[str, ...] = ()
    pinned: bool = False


class Locked(msgspec.Struct, frozen=True):
    """The whole of Gemfile.lock; `checksums` by a gem's full name, with their algorithm."""

    sources: tuple[Source, ...]
    platforms: tuple[str, ...]
    dependencies: tuple[Dependency, ...]
    checksums: dict[str, str] = {}
    ruby: str = ""
    bundler: str = ""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One gem that the lock names, and the platforms it is for.

    `kind` is `gem` (an archive by `hash`, from `remote`), `git` (a `revision` of `remote`) or `path` (a folder of the
    repository, `remote` as the lock has it). `main` are the platforms whose image holds it, `smoke` those whose
    checks do, `tools` those that only [build] commands have.
    """

    spec: Spec
    kind: str = "gem"
    remote: str = ""
    hash: str = ""
    revision: str = ""
    glob: str = ""
    main: tuple[str, ...] = ()
    smoke: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()

    @property
    def platforms(self) -> tuple[str, ...]:
        """Every platform whose bundle holds it."""
        return tuple(sorted({*self.main, *self.smoke}))

    @property
    def filename(self) -> str:
        """The gem's file name."""
        return f"{self.spec.full}.gem"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One environment to fill: the image's of a platform, or with `smoke` the checks' own base."""

    platform: str
    base: Base
    smoke: bool = False

    @property
    def abi(self) -> str:
        """The version that compiled gems and folders go by, "3.3.0" for every Ruby 3.3."""
        return ".".join([*self.base.facts.interpreter_version.split(".")[:2], "0"])

    @property
    def home(self) -> str:
        """Where gems stand in the image."""
        return f"/app/{BUNDLE}/ruby/{self.abi}"

    @property
    def program(self) -> str:
        """What the interpreter calls itself, `ruby` or as in Debian `ruby3.3`."""
        return posixpath.basename(self.base.facts.interpreter)
