"""What a build needs of a Dockerfile: the stages that lead to its target, and the images that those take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from cdaf.languages._docker import words
from cdaf.languages._docker.dockerfile import Dockerfile, Stage
from cdaf.languages._shared import container

SCRATCH = "scratch"


class Needed(msgspec.Struct, frozen=True):
    """The images that a build for one platform takes, as written and expanded; `base` is what its result stands on.

    `base` is empty on a named context. `open` are names that only the build itself can expand, `fetched` the URLs
    that it adds.
    """

    images: tuple[str, ...]
    base: str
    open: tuple[str, ...] = ()
    fetched: tuple[str, ...] = ()


def target(of: Dockerfile, name: str | None) -> Stage | None:
    """The stage to build: by name or number, by default the last; None when there is none of that name."""
    if name is None:
        return of.stages[-1]
    return _stage(of, name, len(of.stages))


def needed(
    of: Dockerfile, wanted: Stage, on: str, arguments: Mapping[str, str], contexts: Mapping[str, str] = {}
) -> Needed:
    """What the stages that lead to `wanted` take from outside, for the platform `on`.

    `contexts` are named contexts, which go before images.
    """
    values = _values(of, on, arguments)
    images: dict[str, None] = {}
    unknown: dict[str, None] = {}
    fetched: dict[str, None] = {}
    for stage in _leading(of, wanted, values, contexts):
        fetched |= dict.fromkeys(stage.fetched)
        names = (words.expand(stage.base, values, of.escape), *stage.uses)
        for name in (each for each in names if each not in contexts and not _is_known(of, each, stage)):
            if not name or "$" in name:
                unknown[name or stage.base] = None
            elif name != SCRATCH:
                images[name] = None
    return Needed(tuple(images), _root(of, wanted, values, contexts), tuple(unknown), tuple(fetched))


def _is_known(of: Dockerfile, name: str, stage: Stage) -> bool:
    return _stage(of, name, stage.number) is not None


def _values(of: Dockerfile, on: str, arguments: Mapping[str, str]) -> dict[str, str]:
    """What FROM may name: the platform arguments, and those declared before the first FROM."""
    values = {
        key: value
        for kind, each in (("TARGET", on), ("BUILD", container.this()))
        for key, value in _platform(kind, each)
    }
    for name, default in of.arguments:
        value = values.get(name, "") if default is None else words.expand(default, values, of.escape)
        values[name] = arguments.get(name, value)
    return values


def _platform(kind: str, told: str) -> Iterator[tuple[str, str]]:
    system, architecture, *variant = told.split("/")
    yield f"{kind}PLATFORM", told
    yield f"{kind}OS", system
    yield f"{kind}ARCH", architecture
    yield f"{kind}VARIANT", variant[0] if variant else ""


def _leading(of: Dockerfile, wanted: Stage, values: Mapping[str, str], contexts: Mapping[str, str]) -> Iterator[Stage]:
    """The stage, and all that lead to it."""
    waiting, seen = [wanted], {wanted.number}
    while waiting:
        stage = waiting.pop()
        yield stage
        for name in (words.expand(stage.base, values, of.escape), *stage.uses):
            found = None if name in contexts else _stage(of, name, stage.number)
            if found is not None and found.number not in seen:
                seen.add(found.number)
                waiting.append(found)


def _stage(of: Dockerfile, name: str, before: int) -> Stage | None:
    """An earlier stage by its name, the last of that name, or by its number."""
    earlier = of.stages[:before]
    named = next((each for each in reversed(earlier) if each.name and each.name == name.lower()), None)
    if named is None and name.isdecimal() and int(name) < len(earlier):
        return earlier[int(name)]
    return named


def _root(of: Dockerfile, wanted: Stage, values: Mapping[str, str], contexts: Mapping[str, str]) -> str:
    stage = wanted
    while True:
        name = words.expand(stage.base, values, of.escape)
        found = None if name in contexts else _stage(of, name, stage.number)
        if found is None:
            return "" if name in contexts else name
        stage = found
