"""What `cdaf diff` compares: a bundle, or an image in an OCI layout, a registry or the engine."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from cdaf.bundles import bundle, diff
from cdaf.bundles.bundle import Bundle
from cdaf.errors import ResolveError, UsageError
from cdaf.images import building, compare
from cdaf.images.compare import Change, View

_LAYOUT = re.compile(r"(?P<folder>.+?)(?:@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[\w][\w.-]*))?")


def differences(old: str, new: str) -> list[Change]:
    """Every difference between two things that users name.

    A file is a bundle and a folder an OCI layout, `FOLDER:TAG` one of its images; `engine:NAME` is an image of the
    engine's, and all else, with `registry:` in front or not, an image in a registry. Raises what opening them raises.
    """
    with ExitStack() as opened:
        before, after = _open(old, opened), _open(new, opened)
        if isinstance(before, Bundle) and isinstance(after, Bundle):
            return diff.compare(before, after)
        return list(_images(_views(before), _views(after)))


def _open(text: str, opened: ExitStack) -> Bundle | Sequence[View]:
    from cdaf.registries import images, reference

    kind, _, rest = text.partition(":")
    if kind == "engine":
        return _of_engine(rest, opened)
    where = _layout(rest if kind == "layout" else text)
    if where is not None and kind != "registry":
        return images.in_layout(*where)
    if kind != "registry" and (Path(text).exists() or _is_path(text)):
        if Path(text).is_dir():
            raise UsageError(f"{text} is a folder without an OCI layout", bundle.hint_of(Path(text)))
        return bundle.open(Path(text))
    try:
        return images.in_registry(reference.parse(rest if kind == "registry" else text))
    except ResolveError as error:
        if error.transient:
            raise
        raise UsageError(error.message, error.hint or "name an image that is there", error.output) from error


def _is_path(text: str) -> bool:
    """Whether a name that nothing has is meant as a file's."""
    return text.endswith(".cdaf") or text.startswith((".", "/", "~"))


def _layout(text: str) -> tuple[Path, str] | None:
    """The folder, and which of its images, when there is such a layout."""
    found = _LAYOUT.fullmatch(text)
    for folder, name in ((text, ""), (found["folder"], found["digest"] or found["tag"] or "") if found else ("", "")):
        if folder and (Path(folder) / "index.json").is_file():
            return Path(folder), name
    return None


def _of_engine(name: str, opened: ExitStack) -> Sequence[View]:
    from cdaf import engine
    from cdaf.registries import images

    if engine.inspect(name) is None:
        named = engine.names(name)
        raise UsageError(
            f"the engine has no image {name}" + (f"; of that name it has {', '.join(named)}" if named else ""),
            f"name one of them, such as engine:{named[0]}" if named else "look at `docker images`",
        )
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="cdaf-diff-")))
    engine.save(name, folder)
    return images.in_layout(folder)


def _views(side: Bundle | Sequence[View]) -> dict[str, View]:
    from cdaf.registries import images

    views = [images.view(each) for each in building.images(side)] if isinstance(side, Bundle) else side
    return {each.platform: each for each in views}


def _images(old: dict[str, View], new: dict[str, View]) -> Iterator[Change]:
    """Of each platform that both have, all differences; of others that they are there."""
    apart = [
        {key: each.digest for key, each in side.items() if key not in other} for side, other in ((old, new), (new, old))
    ]
    yield from compare.changes("image", *apart)
    yield from compare.shared([change for key in old if key in new for change in compare.images(old[key], new[key])])
