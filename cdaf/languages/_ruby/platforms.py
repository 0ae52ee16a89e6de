"""Which gem of several a target gets: RubyGems' platforms (Gem::Platform#===), by the base's facts."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cdaf.languages._ruby.values import RUBY, Spec, Target

_CPUS = {
    "amd64": ("x86_64",),
    "386": ("x86", "i386", "i486", "i586", "i686"),
    "arm64": ("aarch64", "arm64"),
    "arm": ("arm", "armv6l", "armv7l"),
    "ppc64le": ("powerpc64le", "ppc64le"),
    "riscv64": ("riscv64",),
    "s390x": ("s390x",),
    "loong64": ("loongarch64",),
}


class Local(msgspec.Struct, frozen=True):
    """A target as RubyGems sees it: names of its CPU, whether its libc is musl."""

    cpus: tuple[str, ...]
    musl: bool

    @property
    def name(self) -> str:
        """What `bundle lock --add-platform` calls it."""
        return f"{self.cpus[0]}-linux{'-musl' if self.musl else ''}"


def local(target: Target) -> Local:
    """What a target is to RubyGems."""
    return Local(cpus(target.platform), target.base.facts.libc == "musl")


def cpus(platform: str) -> tuple[str, ...]:
    """RubyGems' names of a platform's CPU."""
    cpu = platform.split("/")[1]
    return _CPUS.get(cpu, (cpu,))


def distance(platform: str, here: Local) -> int | None:
    """How far a gem's platform is from the target's, 0 for its very own; None when it does not run there."""
    if platform == RUBY:
        return 9
    cpu, _, rest = platform.partition("-")
    system, _, libc = rest.partition("-")
    if system != "linux" or (cpu not in here.cpus and cpu != "universal"):
        return None
    # A gem for linux alone is for glibc; a system with musl takes it where there is none of its own.
    kind = libc.removesuffix("eabihf").removesuffix("eabi")
    if kind not in ("", "gnu", "musl"):
        return None
    if here.musl:
        return None if kind == "gnu" else 0 if kind == "musl" else 2
    return None if kind == "musl" else 0 if kind == "gnu" else 1


def choose(specs: Iterable[Spec], here: Local, *, ruby: bool = False) -> Spec | None:
    """Of the forms of one gem the one for the target; `ruby` prefers what is built there."""
    fitting = [(far, each) for each in specs if (far := distance(each.platform, here)) is not None]
    if ruby and any(each.platform == RUBY for _, each in fitting):
        return next(each for _, each in fitting if each.platform == RUBY)
    return min(fitting, key=lambda each: (each[0], each[1].platform))[1] if fitting else None


def supported(platforms: Iterable[str], here: Local) -> bool:
    """Whether the lock was resolved for the target."""
    return any(distance(each, here) is not None for each in platforms)
