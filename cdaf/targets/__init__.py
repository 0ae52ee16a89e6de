"""Where a tested image goes: `kind:where`, one verb, a module each, a line each.

How to write one is in docs/targets.md.
"""

import difflib
import importlib
import re
from collections.abc import Callable, Sequence
from typing import Literal, Protocol, cast

import msgspec

from cdaf.bundles.bundle import Bundle
from cdaf.bundles.manifest import Manifest
from cdaf.errors import CdafError, PublishError, UsageError, faults
from cdaf.images.oci import Image, Layer
from cdaf.settings import settings
from cdaf.targets import _tags as tagging

MODULES = {
    "layout": "cdaf.targets.layout",
    "engine": "cdaf.targets.engine",
    "registry": "cdaf.targets.registry",
    "pypi": "cdaf.targets.pypi",
}
DEFAULT = ("layout:", "engine:")


class Target(msgspec.Struct, frozen=True):
    """One destination, with the tags to set there: `tags` never move, `moving` may."""

    kind: str
    where: str
    tags: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}:{self.where}"


class Release(msgspec.Struct, frozen=True):
    """What is published: a verified bundle and its tested images, one a platform."""

    bundle: Bundle
    images: tuple[Image, ...]


class Publication(msgspec.Struct, frozen=True):
    """What stands at a target now: `reference` names it by digest; `present` when all of it stood there before,
    `planned` in a dry run."""

    target: str
    reference: str
    digest: str
    tags: tuple[str, ...]
    state: Literal["created", "present", "planned"]
    hint: str = ""


class Module(Protocol):
    """What a target's module provides."""

    def check(self, where: str, manifest: Manifest, /) -> list[str]:
        """All faults of what follows the colon, nothing asked of the target."""
        ...

    def publish(self, target: Target, release: Release) -> tuple[Publication, ...]:
        """Publish, and read back what stands there. Raises PublishError, transient when later may be better."""
        ...

    def foretell(self, target: Target, release: Release) -> tuple[Publication, ...]:
        """What `publish` would answer, as `planned`; nothing is sent or changed there."""
        ...


_Verb = Callable[[Target, Release], tuple[Publication, ...]]


def load(kind: str) -> Module:
    """The module of a kind of target."""
    return cast("Module", importlib.import_module(MODULES[kind]))


def parse(texts: Sequence[str], manifest: Manifest) -> tuple[Target, ...]:
    """The targets that texts name: `kind:where`, or the exact name of one of the manifest's environments.

    Without texts, those that the manifest declares; when it declares none, a layout beside the bundle and the local
    engine. Raises UsageError with all faults.
    """
    found: dict[tuple[str, str], Target] = {}
    wrong: list[str] = []
    for text, declared in _listed(texts, manifest, wrong):
        kind, _, where = text.partition(":")
        problems = kind_faults(text) or load(kind).check(where, manifest)
        fixed, moving, odd = tagging.rendered(declared, manifest)
        wrong += [f"{_shown(text)}: {problem}" for problem in (*problems, *odd)]
        if not problems:
            found.setdefault((kind, where), Target(kind, where, fixed, moving))
    if wrong:
        raise UsageError(
            faults("targets", list(dict.fromkeys(wrong))),
            "mend each of them; a target is kind:where, such as registry:HOST/NAME",
        )
    return tuple(found.values())


def publish(target: Target, release: Release) -> tuple[Publication, ...]:
    """Publish to one target; what is there already with the same bytes is a success.

    Raises a PublishError for what has no class of its own: what lies below knows nothing of publishing.
    """
    return _told(load(target.kind).publish, target, release)


def foretell(target: Target, release: Release) -> tuple[Publication, ...]:
    """What `publish` would make of one target, as `planned`. Raises as it does."""
    return _told(load(target.kind).foretell, target, release)


def _told(verb: _Verb, target: Target, release: Release) -> tuple[Publication, ...]:
    try:
        return verb(target, release)
    except CdafError as error:
        if type(error) is not CdafError:
            raise
        raise PublishError(error.message, error.hint, error.output, transient=error.transient) from error


def _where_known(verb: str, target: Target, *told: object) -> None:
    """Call a verb that a kind of target may have or lack."""
    known = getattr(load(target.kind), verb, None)
    if known is not None:
        known(target, *told)


def refuse(target: Target, release: Release) -> None:
    """Raise PublishError for what a target would refuse whatever a test says, where a kind of target can know it."""
    _where_known("refuse", target, release)


def begin(target: Target, bundle: Bundle) -> None:
    """Send what images that are still to be made stand on, where a kind of target takes that by itself."""
    _where_known("begin", target, bundle)


def send(target: Target, bundle: Bundle, layer: Layer) -> None:
    """Send one layer of an image that is still being made, where a kind of target takes layers by themselves."""
    _where_known("send", target, bundle, layer)


def ahead(target: Target, release: Release) -> None:
    """Send what nobody sees until it is published, where a kind of target has such a thing."""
    _where_known("ahead", target, release)


def _listed(texts: Sequence[str], manifest: Manifest, wrong: list[str]) -> list[tuple[str, settings.Publish]]:
    """Each target's text with the table that declares its tags; unknown environments are added to `wrong`."""
    if not texts:
        return [(text, manifest.publish) for text in manifest.publish.to or DEFAULT]
    listed: list[tuple[str, settings.Publish]] = []
    for text in texts:
        if ":" in text:
            listed.append((text, manifest.publish))
        elif text in manifest.environments:
            environment = manifest.environments[text]
            listed += [(each, environment) for each in environment.to]
            wrong += [] if environment.to else [f"environment {text!r} names no target"]
        else:
            wrong.append(_unknown(text, manifest))
    return listed


def _unknown(text: str, manifest: Manifest) -> str:
    if "/" in text and "@" not in text:
        host = "" if re.match(r"localhost/|[^/]*[.:]", text) else "HOST/"
        return f"{text!r} is no kind:where, did you mean {f'registry:{host}{text}'!r}?"
    known = sorted(manifest.environments)
    near = difflib.get_close_matches(text, known, 1)
    listed = f"; the environments are {', '.join(known)}" if known else "; no environments are declared"
    return f"{text!r} is no kind:where and no environment" + (f": {near[0]!r}?" if near else "") + listed


def kind_faults(text: str) -> list[str]:
    """What is wrong with what stands before a target's colon."""
    kind, colon, _ = text.partition(":")
    if kind in MODULES:
        return [] if colon else [f"{kind!r} lacks its colon"]
    named = "@" not in text and re.fullmatch(r"[^/:]+:\d+/.+|[^/:]+\.[^/:]+/.+", text)
    near = [f"registry:{text}"] if named else difflib.get_close_matches(kind, MODULES, 1)
    meant = f", did you mean {near[0]!r}?" if near else f"; there are {', '.join(MODULES)}"
    return [f"{kind!r} is not a kind of target{meant}"]


def _shown(text: str) -> str:
    """A text fit for a message: what stands before an @ may be a login."""
    kind, _, rest = text.partition(":")
    return f"{kind}:…@{rest.rpartition('@')[2]}" if "@" in rest else text
