"""What differs between two images: layer by layer, file by file, and in their configs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Literal

import msgspec

from cdaf.images import listing
from cdaf.images.listing import Row

Kind = Literal["image", "setting", "base", "config", "dependency", "file", "layer", "path"]
_SHORT = len("sha256:") + 12
_OWN = "cdaf: "  # what the history calls a layer of ours begins with it


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that differs; `before` or `after` is empty where it was added or removed.

    `why` names what is another: of a path its kind, mode, owner, time, target or content; of a layer its content, the
    order of its entries, its tar, or only its compression. `platforms` are the images it is found in; `layer` and
    `owner` (a dependency, or the service) say where a path belongs.
    """

    kind: Kind
    name: str
    before: str
    after: str
    why: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    layer: str = ""
    owner: str = ""

    @property
    def sign(self) -> str:
        """`+` for something added, `-` for something removed, `~` for something changed."""
        return "~" if self.before and self.after else "+" if self.after else "-"


class Blob(msgspec.Struct, frozen=True):
    """A layer as it can be compared; `rows` reads what it holds, when that is asked for. `own` is one with our name."""

    name: str
    digest: str
    diff_id: str
    size: int
    rows: Callable[[], Sequence[Row]]
    own: bool = True


class View(msgspec.Struct, frozen=True):
    """An image as it can be compared; `config` by dotted key."""

    platform: str
    digest: str
    base: str
    config: Mapping[str, str]
    layers: tuple[Blob, ...]


def changes(kind: Kind, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    """What differs between two sets of named values."""
    for name in sorted({*old, *new}):
        before, after = old.get(name, ""), new.get(name, "")
        if before != after:
            yield Change(kind, name, before, after)


def images(old: View, new: View) -> list[Change]:
    """Every difference between two images of one platform; layers that are equal are not read."""
    if old.digest == new.digest:
        return []
    found = [*changes("base", {"base": old.base} if old.base else {}, {"base": new.base} if new.base else {})]
    found += changes("config", old.config, new.config)
    pairs = list(_pairs(old.layers, new.layers))
    found += [change for pair in pairs for change in _layer(*pair)]
    return [msgspec.structs.replace(each, platforms=(new.platform,)) for each in [*found, *_paths(pairs)]]


def shared(found: Sequence[Change]) -> list[Change]:
    """The same changes, those told once that are found on several platforms."""
    together: dict[Change, dict[str, None]] = {}
    for each in found:
        together.setdefault(msgspec.structs.replace(each, platforms=()), {}).update(dict.fromkeys(each.platforms))
    return [msgspec.structs.replace(each, platforms=tuple(those)) for each, those in together.items()]


def _pairs(old: Sequence[Blob], new: Sequence[Blob]) -> Iterator[tuple[Blob | None, Blob | None]]:
    """Which layer became which: equal ones, then those of one name, then, of images that name none, those in place."""
    matcher = SequenceMatcher(None, [each.diff_id for each in old], [each.diff_id for each in new], autojunk=False)
    for how, a, b, c, d in matcher.get_opcodes():
        if how == "equal":
            yield from zip(old[a:b], new[c:d], strict=True)
            continue
        yield from _renewed(old[a:b], list(new[c:d]))


def _renewed(old: Sequence[Blob], new: list[Blob]) -> Iterator[tuple[Blob | None, Blob | None]]:
    left = []
    for one in old:
        other = next((each for each in new if each.name == one.name), None)
        if other is None:
            left.append(one)
        else:
            new.remove(other)
            yield one, other
    if len(left) == len(new) and not any(each.own for each in (*left, *new)):
        yield from zip(left, new, strict=True)
        return
    yield from ((one, None) for one in left)
    yield from ((None, each) for each in new)


def _layer(old: Blob | None, new: Blob | None) -> Iterator[Change]:
    before, after = _told(old), _told(new)
    if old is None or new is None:
        yield from (Change("layer", each.name, before, after) for each in (old, new) if each)
        return
    name = new.name
    if old.diff_id == new.diff_id and old.digest != new.digest:
        yield Change("layer", name, before, after, ("compression",))
    elif old.diff_id != new.diff_id:
        yield Change("layer", name, before, after, (_why(old, new),))


def _why(old: Blob, new: Blob) -> str:
    one, other = old.rows(), new.rows()
    if sorted(one, key=_by_path) != sorted(other, key=_by_path):
        return "content"
    return "order" if list(one) != list(other) else "tar"


def _by_path(row: Row) -> tuple[str, str]:
    return row.path, row.kind


def _told(blob: Blob | None) -> str:
    return f"{blob.digest[:_SHORT]} {blob.size} B" if blob else ""


def _paths(pairs: Sequence[tuple[Blob | None, Blob | None]]) -> Iterator[Change]:
    """File by file, over all layers that differ: what only moved from one layer to another is no change of a file."""
    apart = [(one, other) for one, other in pairs if not (one and other and one.diff_id == other.diff_id)]
    old = _merged([one for one, _ in apart if one])
    new = _merged([other for _, other in apart if other])
    filled = listing.above((*old, *new))
    for path in sorted({*old, *new}):
        before, after = old.get(path), new.get(path)
        layer = (new if path in new else old)[path][1]
        if before and after:
            why = listing.differing(before[0], after[0])
            if why:
                told = [", ".join(f"{name} {pair[side]}".rstrip() for name, pair in why.items()) for side in (0, 1)]
                yield Change("path", f"/{path}", told[0], told[1], tuple(why), layer=layer)
        elif path not in filled:  # a folder that came or went with what it holds needs no line of its own
            yield Change("path", f"/{path}", _whole(before), _whole(after), layer=layer)


def _merged(layers: Sequence[Blob]) -> dict[str, tuple[Row, str]]:
    found = {row.path: (row, layer.name) for layer in layers for row in layer.rows()}
    return dict(sorted(found.items()))


def _whole(found: tuple[Row, str] | None) -> str:
    if not found:
        return ""
    told = listing.facets(found[0])
    return " ".join(filter(None, (told["kind"], told["mode"], told["owner"], told["target"], told["content"])))


def flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Nested tables by dotted key, everything else as JSON; tables in a list by what names them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(f"{prefix}.{key}" if prefix else str(key), inner)
    elif isinstance(value, list | tuple) and value and all(isinstance(item, dict) for item in value):
        for item in value:
            told = dict(item)
            key = "/".join(str(told.pop(name)) for name in ("reference", "platform", "role") if name in told)
            yield from flat(f"{prefix}[{key}]", told)
    else:
        yield prefix, msgspec.json.encode(value).decode()


def config(found: Mapping[str, Any]) -> dict[str, str]:
    """An image's config by dotted key, variables each by itself; what follows from its layers is left out."""
    told = {key: value for key, value in found.items() if key not in ("rootfs", "history")}
    runtime = dict(told.pop("config", None) or {})
    variables = dict(str(each).partition("=")[::2] for each in runtime.pop("Env", None) or ())
    return dict(flat("", {**told, **runtime, "Env": variables}))


def names(found: Mapping[str, Any], count: int) -> list[tuple[str, bool]]:
    """What the history calls each of `count` layers, and whether it is one of ours (OCI image-spec, config.md)."""
    history = [each for each in found.get("history") or () if isinstance(each, dict) and not each.get("empty_layer")]
    said = [str(each.get("created_by") or "") for each in history]
    if len(said) != count:
        said = [""] * count
    return [
        (text.removeprefix(_OWN) or f"layer {number}", text.startswith(_OWN)) for number, text in enumerate(said, 1)
    ]
