"""Why two bundles of one commit are not the same: which members, which files in them, and what in those."""

import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from cdaf.bundles import bundle as bundles
from cdaf.bundles import diff, owners
from cdaf.bundles.bundle import Bundle
from cdaf.bundles.rules import SUMS
from cdaf.images import compare

_LARGEST = 1 << 26  # bytes, of what is looked into
_SHOWN = 5
_AROUND, _BEFORE = 60, 20  # characters of a line that are shown, and of those the ones before the difference
_DAY, _HOUR, _PART = r"\d{4}-\d{2}-\d{2}", r"\d{2}:\d{2}(:\d{2})?", r"([.,]\d+)?"
_TIMES = re.compile(rf"{_DAY}([T ]{_HOUR}{_PART})?|{_HOUR}{_PART}|\b[12]\d{{9}}(\d{{3}}){{0,3}}{_PART}\b")
_FOLLOWING = ("generated/listings/", "generated/sbom/")
_HINTS = {
    "the time": "take the time from SOURCE_DATE_EPOCH, or leave it out",
    "order": "sort what is listed before it is written",
    "mode": "set the modes of the files that are written",
}
_HINT = "make the service's build command give the same bytes each time (no clock, no random names)"

Marks = Mapping[str, tuple[str, str]]


class Explained(msgspec.Struct, frozen=True):
    """All that differs, a line each, and what to do about it."""

    faults: list[str]
    hint: str


def explain(old: Bundle, new: Bundle, marks: Marks) -> Explained:
    """What differs, from the members that differ first to the paths of the images.

    `marks` are things that were others the second time, by what they are: the text then, and now.
    """
    names = [name for name in sorted({*old.members, *new.members}) if _sha256(old, name) != _sha256(new, name)]
    told = {name: list(_member(old, new, name, marks)) for name in _first(names)}
    found = [f"{name} differs from one packaging to the next: {each}" for name, those in told.items() for each in those]
    reasons = " ".join(each for those in told.values() for each in those)
    hints = [hint for word, hint in _HINTS.items() if word in reasons]
    hints += [f"write nothing that holds {what}" for what in marks if what in reasons]
    return Explained([*found, *_paths(old, new)], "; ".join(hints) or _HINT)


def _sha256(bundle: Bundle, name: str) -> str:
    member = bundle.members.get(name)
    return member.sha256 if member else ""


def _first(names: Sequence[str]) -> list[str]:
    """Those that do not follow from others: what is generated for an archive does, and what lists or sums up."""
    stems = {owners.stem(name) for name in names if name.startswith("deps/")}
    own = [name for name in names if "/" in name and not name.startswith(_FOLLOWING)]
    causes = [
        name for name in own if not (name.startswith("generated/") and stems & {*name.split("/"), owners.stem(name)})
    ]
    return causes or own or [name for name in names if name != SUMS]


def _paths(old: Bundle, new: Bundle) -> Iterator[str]:
    """What became of it in the images."""
    changes = [each for each in diff.compare(old, new) if each.kind in ("layer", "path")]
    for layer in (each for each in changes if each.kind == "layer"):
        paths = [each for each in changes if each.kind == "path" and each.layer == layer.name]
        paths = [each for each in paths if set(layer.platforms) & set(each.platforms)]
        label = f"layer {layer.name} of {', '.join(layer.platforms)}"
        yield from (f"{label}: {_told(each)}" for each in paths[:_SHOWN])
        if len(paths) > _SHOWN:
            yield f"{label}: {len(paths) - _SHOWN} more paths"
        if not paths:
            yield f"{label} has another {' and '.join(layer.why) or 'content'}"


def _told(change: compare.Change) -> str:
    of = f" ({change.owner})" if change.owner else ""
    if change.sign == "~":
        return f"{change.name}{of} has another {' and '.join(change.why)}"
    return f"{change.name}{of} is there only {'the second' if change.sign == '+' else 'the first'} time"


def _member(old: Bundle, new: Bundle, name: str, marks: Marks) -> Iterator[str]:
    if name not in old.members or name not in new.members:
        yield f"it is there only {'the first' if name in old.members else 'the second'} time"
    elif max(old.members[name].size, new.members[name].size) > _LARGEST:
        yield "it holds other bytes"
    else:
        yield from differences(bundles.data(old, name), bundles.data(new, name), marks)


def differences(old: bytes, new: bytes, marks: Marks) -> Iterator[str]:
    """What is another in one file; of a zip, file by file."""
    if not (old.startswith(b"PK") and new.startswith(b"PK")):
        yield _content(old, new, marks)
        return
    try:
        found = list(_inside(zipfile.ZipFile(io.BytesIO(old)), zipfile.ZipFile(io.BytesIO(new)), marks))
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        found = []
    yield from found[:_SHOWN] or ["it is compressed otherwise, or written in another form"]
    if len(found) > _SHOWN:
        yield f"{len(found) - _SHOWN} more of its files"


def _inside(old: zipfile.ZipFile, new: zipfile.ZipFile, marks: Marks) -> Iterator[str]:
    before, after = ({each.filename: each for each in one.infolist()} for one in (old, new))
    for name in sorted({*before, *after}, key=lambda name: (name.endswith("/RECORD"), name)):
        if name not in after or name not in before:
            yield f"{name} is in it only {'the first' if name in before else 'the second'} time"
        elif before[name].CRC != after[name].CRC or before[name].file_size != after[name].file_size:
            if max(before[name].file_size, after[name].file_size) > _LARGEST:
                yield f"{name}: other bytes"
            elif not name.endswith(".dist-info/RECORD"):  # which follows from all the others
                yield f"{name}: {_content(old.read(name), new.read(name), marks)}"
        elif before[name].external_attr != after[name].external_attr:
            modes = [f"{each[name].external_attr >> 16 & 0o7777:04o}" for each in (before, after)]
            yield f"{name}: mode {modes[0]} the first time, {modes[1]} the second"
        elif before[name].date_time != after[name].date_time:
            yield f"{name}: it carries the time at which it was made"
    if list(before) != list(after) and set(before) == set(after):
        yield "its files are in another order"


def _content(old: bytes, new: bytes, marks: Marks) -> str:
    """What is another in a text: the first line that differs, and what it seems to hold."""
    try:
        before, after = old.decode(), new.decode()
    except UnicodeDecodeError:
        at = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        return _marked(old.decode("latin-1"), new.decode("latin-1"), marks) or f"other bytes from offset {at} on"
    lines = before.splitlines(), after.splitlines()
    if sorted(lines[0]) == sorted(lines[1]):
        return "its lines are in another order"
    number = next((at for at, (a, b) in enumerate(zip(*lines, strict=False)) if a != b), min(map(len, lines)))
    one, other = (each[number] if number < len(each) else "" for each in lines)
    reason = _marked(before, after, marks)
    reason = f"{reason}, " if reason else "it holds the time, " if _is_time(before, after) else ""
    return f"{reason}line {number + 1} is {_shown(one, other)} the first time, {_shown(other, one)} the second"


def _marked(old: str, new: str, marks: Marks) -> str:
    """Which of the things that were others the second time a text holds."""
    held = [what for what, (then, now) in marks.items() if then and then in old and now in new and then not in new]
    return f"it holds {' and '.join(held)}" if held else ""


def _is_time(old: str, new: str) -> bool:
    """Whether all that differs are times."""
    return old != new and _TIMES.sub("", old) == _TIMES.sub("", new)


def _shown(line: str, other: str) -> str:
    """The part of a line where it differs from the other."""
    same = next((at for at, (a, b) in enumerate(zip(line, other, strict=False)) if a != b), min(len(line), len(other)))
    start = max(0, same - _BEFORE)
    part = line[start : start + _AROUND]
    return repr(f"{'…' if start else ''}{part}{'…' if start + _AROUND < len(line) else ''}")
