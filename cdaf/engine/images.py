"""Images in the engine: loading, finding, naming and fetching them, always by id or digest."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from cdaf import progress, store
from cdaf.engine.client import EngineGone, api, asking, endpoint, missing, whales
from cdaf.errors import EngineError, ResolveError, SmokeError
from cdaf.images import oci
from cdaf.registries import reference

_STACKS, _LOADED = "stacks", "loaded"
_WORTH = 1 << 23  # bytes to be sent from which on it is worth asking for every image that the engine has
_UNKNOWN = ("manifest unknown", "not found", "does not exist", "access denied", "repository")


def inspect(name: str) -> dict[str, Any] | None:
    """What the engine says of an image, by id or reference; None when it has none."""
    with asking(f"inspecting image {name}"):
        try:
            found: dict[str, Any] = api().inspect_image(name)  # type: ignore[no-untyped-call]
        except Exception as error:
            if missing(error):
                return None
            raise
    return found


def names(name: str) -> list[str]:
    """The names that the engine has for images of a repository, each with its tag; whatever tag `name` has."""
    try:
        whole = reference.parse(name)
    except ResolveError:
        return []
    with asking("listing images"):
        listed = api().images()
    found = {tag: reference.parse(tag) for each in listed for tag in each.get("RepoTags") or () if "<none>" not in tag}
    same = [tag for tag, it in found.items() if (it.registry, it.repository) == (whole.registry, whole.repository)]
    return sorted(same)


def held(image: oci.Image) -> str:
    """The id by which the engine has this very image; empty when it hasn't.

    The classic stores name an image by its config's digest, containerd's by its manifest's.
    """
    for digest in (image.config_digest, image.digest):
        found = inspect(digest)
        if found is not None:
            return str(found["Id"])
    return ""


def load(image: oci.Image, tags: Sequence[str] = ()) -> str:
    """Give an image to the engine unless it has it, and return the id it has there.

    Layers that the engine has already are left out. Raises EngineError when the engine takes it for another image.
    """
    there = held(image) or _loaded(image)
    tag(there, tags)
    return there


def _loaded(image: oci.Image) -> str:
    from cdaf.registries import registry

    known = known_layers(image)
    if known:
        try:
            return load_tar(_counted(oci.archive(_partly(image, known), (), known), image, known), image)
        except EngineGone:
            raise
        except EngineError as error:
            progress.note(f"the engine wants every layer: {error.message}")
    return load_tar(_counted(oci.archive(registry.complete(image)), image, frozenset()), image)


def load_tar(tar: Iterable[bytes], image: oci.Image) -> str:
    """Stream a tar of this image to the engine; it answers 200 and puts its error into the body."""
    with asking(f"loading the image of {image.platform}"):
        for said in api().load_image(_pieces(tar), quiet=False):  # type: ignore[no-untyped-call]
            fault = said.get("errorDetail") or said.get("error")
            if fault:
                message = fault.get("message", fault) if isinstance(fault, dict) else fault
                _forget(image)
                raise EngineError(f"the engine did not load the image of {image.platform}: {message}")
    found = held(image)
    if not found:
        raise EngineError(
            f"the engine loaded another image than {image.digest}",
            "upgrade the engine, or report this with its version",
        )
    _remember(image, found)
    return found


def _forget(image: oci.Image) -> None:
    """Remove what a failed load has left: containerd's store has the name then, and not the content."""
    broken = held(image)
    if broken:
        api().remove_image(broken, force=True)


def known_layers(image: oci.Image) -> frozenset[str]:
    """The diff ids, from the bottom up, of which some image in the engine has the very same stack."""
    wanted = [layer.diff_id for layer in image.layers]
    longest = _longest_loaded(wanted)
    if sum(layer.size for layer in image.layers[longest:]) > _WORTH:
        with asking("listing images"):
            stacks = [_stack(each["Id"]) for each in api().images()]
        longest = max([longest, *(_common(wanted, stack) for stack in stacks)])
    below, above = wanted[:longest], wanted[longest:]
    return frozenset(below) - frozenset(above)


def _common(wanted: Sequence[str], stack: Sequence[str]) -> int:
    same = next((at for at, (a, b) in enumerate(zip(wanted, stack, strict=False)) if a != b), None)
    return min(len(wanted), len(stack)) if same is None else same


def _longest_loaded(wanted: Sequence[str]) -> int:
    """How much of a stack the engine has by what was loaded from here, if it has that still: one question, not one
    for each image."""
    for length in range(len(wanted), 0, -1):
        told = store.recall(_LOADED, _stack_key(wanted[:length]))
        if told is not None:
            found = inspect(told.decode())
            return _common(wanted, _layers_of(found)) if found else 0
    return 0


def _remember(image: oci.Image, found: str) -> None:
    wanted = [layer.diff_id for layer in image.layers]
    for length in range(1, len(wanted) + 1):
        store.remember(_LOADED, _stack_key(wanted[:length]), found.encode())


def _stack_key(stack: Sequence[str]) -> str:
    return hashlib.sha256(" ".join((endpoint(), *stack)).encode()).hexdigest()


def _stack(name: str) -> list[str]:
    """The diff ids of an image; they follow from its id, so each is asked for once: an engine may have hundreds."""
    key = oci.hexed(name)
    kept = store.recall(_STACKS, key)
    if kept is not None:
        return kept.decode().split()
    found = inspect(name)
    if found is None:
        return []
    stack = _layers_of(found)
    store.remember(_STACKS, key, " ".join(stack).encode())
    return stack


def _layers_of(found: dict[str, Any]) -> list[str]:
    return list((found.get("RootFS") or {}).get("Layers") or [])


def tag(name: str, tags: Sequence[str]) -> None:
    """Give an image of the engine further names."""
    for each in tags:
        whole = reference.parse(each)
        with asking(f"tagging {each}"):
            api().tag(name, f"{whole.registry}/{whole.repository}", whole.tag, force=True)


def ensure(name: str, digest: str, platform: str | None = None) -> str:
    """The id of an image, by its pinned digest; the engine fetches it when it hasn't got it.

    The engine uses its own mirrors and the client's logins. Raises SmokeError when a registry does not have it.
    """
    pinned = str(reference.at(reference.parse(name), digest))
    found = inspect(pinned)
    if found is None or (platform and not _is_of(found, platform)):
        with progress.transfer(f"pull {name}", None):
            _pull(pinned, name, platform)
        found = inspect(pinned)
    if found is None:
        raise EngineError(f"the engine pulled {name} and does not have it", "look into the engine's log")
    return str(found["Id"])


def _pull(pinned: str, name: str, platform: str | None) -> None:
    try:
        with asking(f"pulling {name}"):
            whales().image.pull(pinned, quiet=True, platform=platform)
    except EngineGone:
        raise
    except EngineError as error:
        unknown = any(word in error.message for word in _UNKNOWN)
        hint = "run `cdaf lock --upgrade` and package again" if unknown else "try again when its registry answers"
        raise SmokeError(error.message, hint, error.output, transient=not unknown) from error


def _is_of(found: dict[str, Any], platform: str) -> bool:
    system, architecture = platform.split("/")[:2]
    return (found.get("Os"), found.get("Architecture")) == (system, architecture)


def _partly(image: oci.Image, known: frozenset[str]) -> oci.Image:
    """The image with those layers in the cache that will be sent."""
    from cdaf.registries import registry

    return image if all(layer.path or layer.diff_id in known for layer in image.layers) else registry.complete(image)


def _pieces(tar: Iterable[bytes]) -> Any:
    """An iterable body, which the client sends in chunks; empty pieces would end it."""
    return (piece for piece in tar if piece)


def _counted(tar: Iterable[bytes], image: oci.Image, known: frozenset[str]) -> Iterable[bytes]:
    total = sum(layer.size for layer in image.layers if layer.diff_id not in known)
    with progress.transfer(f"load {image.platform}", total) as moved:
        for piece in tar:
            moved(len(piece))
            yield piece
