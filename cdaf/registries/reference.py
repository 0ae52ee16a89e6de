"""Names of images: `registry/repository:tag@digest`, read by the rules that every container tool follows.

The grammar is the one of the OCI distribution-spec (pulling manifests) and of the engine's own reference parser: the
first component is a host only when it has a dot or a port or is `localhost`; everything else is `docker.io`.
"""

import re

import msgspec

from cdaf.errors import ResolveError

DEFAULT_REGISTRY = "docker.io"
_ALIASES = {"index.docker.io": DEFAULT_REGISTRY, "registry-1.docker.io": DEFAULT_REGISTRY}
_HOST = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST = 255
_LOGIN = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)?(?:.*:.*@|.*@(?=.*/))(?!sha\d+(?::|$))", re.DOTALL)


class Reference(msgspec.Struct, frozen=True):
    """An image's full name; `tag` and `digest` are empty when not given."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        """The canonical spelling, registry included."""
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.repository}{tag}{'@' if self.digest else ''}{self.digest}"


def parse(text: str) -> Reference:
    """Read a reference as users write it: `python:3.13-slim` is `docker.io/library/python:3.13-slim`.

    Without tag and digest both stay empty; `tagged` makes that `latest`. Raises ResolveError.
    """
    rest, _, digest = text.partition("@")
    head, slash, tail = rest.rpartition("/")
    tail, colon, tag = tail.partition(":")
    registry, repository = _split(head + slash + tail)
    found = [
        *(["its digest is not sha256:<64 hex digits>"] if "@" in text and not _DIGEST.fullmatch(digest) else []),
        *(["its tag is not of letters, digits, . _ -"] if colon and not _TAG.fullmatch(tag) else []),
        *([f"{registry!r} is not a host"] if not _HOST.fullmatch(registry) else []),
        *(_repository_faults(registry, repository)),
    ]
    if found:
        raise ResolveError(
            f"image reference {shown(text)!r}: {'; '.join(found)}", "write it as [registry/]repository[:tag][@digest]"
        )
    return Reference(registry, repository, tag, digest)


def holds_login(text: str) -> bool:
    """Whether a user's name, and perhaps a password, stands before the host; no reference has a place for one."""
    return _LOGIN.match(text) is not None


def shown(text: str) -> str:
    """A text that should be a reference, fit for a message: without a login."""
    return _LOGIN.sub(lambda found: f"{found[1] or ''}***@", text, count=1)


def tagged(reference: Reference) -> Reference:
    """The same, with the tag `latest` when it names neither tag nor digest."""
    return reference if reference.tag or reference.digest else msgspec.structs.replace(reference, tag="latest")


def at(reference: Reference, digest: str) -> Reference:
    """The same repository, by digest alone."""
    return Reference(reference.registry, reference.repository, digest=digest)


def is_tag(text: str) -> bool:
    """Whether a text may be an image's tag (OCI distribution-spec, pulling manifests)."""
    return _TAG.fullmatch(text) is not None


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not (first == "localhost" or any(mark in first for mark in ".:[")):
        first, rest = DEFAULT_REGISTRY, name
    registry = _ALIASES.get(first, first)
    official = registry == DEFAULT_REGISTRY and "/" not in rest
    return registry, f"library/{rest}" if official else rest


def _repository_faults(registry: str, repository: str) -> list[str]:
    if not repository or repository == "library/":
        return ["it names no repository"]
    if any(not _COMPONENT.fullmatch(component) for component in repository.split("/")):
        return [f"repository {repository!r} is not of lower-case letters, digits and single separators"]
    if len(registry) + 1 + len(repository) > _LONGEST:
        return [f"it is longer than {_LONGEST} characters"]
    return []
