"""Leaving files of wheels out of the image by `[image] exclude`, with every RECORD kept true.

A path is named as it stands below site-packages; one that stands elsewhere, by its path in the environment (`bin/x`).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import posixpath
from collections.abc import Iterable, Sequence

import msgspec

from cdaf.errors import ProjectError, faults
from cdaf.languages._python import content, wheel
from cdaf.languages._python.content import Spread
from cdaf.languages._python.values import Target
from cdaf.languages._python.wheel import Reading
from cdaf.projects.patterns import matching

# What tells an environment which distributions it holds (PEP 376, PEP 627) and what they provide.
_NEEDED = tuple(f".dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL", "INSTALLER", "entry_points.txt"))


def apply(spread: Sequence[Spread], patterns: Sequence[str], target: Target, used: set[str]) -> list[Spread]:
    """The same archives without the files that a pattern matches; patterns that match are added to `used`.

    Raises ProjectError for a pattern that would take from an environment what tells what is in it.
    """
    found, wrong = [], []
    for each in spread:
        gone: set[str] = set()
        for pattern in patterns:
            hits = _hits(pattern, each.reading, target.python)
            used |= {pattern} if hits else set()
            gone |= hits
            if needed := [path for path in sorted(hits) if path.endswith(_NEEDED)]:
                wrong.append(f"{pattern!r} would leave out {posixpath.basename(needed[0])} of {each.label}")
        found.append(msgspec.structs.replace(each, reading=_without(each.reading, gone, target)) if gone else each)
    if wrong:
        raise ProjectError(
            faults("image.exclude takes what every environment needs", wrong), "write the patterns more narrowly"
        )
    return found


def _hits(pattern: str, reading: Reading, python: str) -> set[str]:
    site = f"{wheel.site_packages(python)}/"
    names = {path: path.removeprefix(site) for path in reading.files}
    matched = set(matching(pattern, names.values()))
    return {path for path, name in names.items() if name in matched}


def _without(reading: Reading, gone: set[str], target: Target) -> Reading:
    skip = {*reading.skip, *content.members(reading, gone, target)}
    files = {path: digest for path, digest in reading.files.items() if path not in gone}
    written = []
    for each in reading.written:
        if each.path.endswith(".dist-info/RECORD"):
            data = _record(each.data.decode(), gone, posixpath.dirname(posixpath.dirname(each.path)))
            files[each.path] = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            written.append(msgspec.structs.replace(each, data=data))
        elif each.path not in gone:
            written.append(each)
    return msgspec.structs.replace(reading, files=files, skip=tuple(sorted(skip)), written=tuple(written))


def _record(text: str, gone: Iterable[str], site: str) -> bytes:
    """RECORD without the rows of what is left out; they go by the path from site-packages."""
    left_out = {posixpath.relpath(path, site) for path in gone}
    kept = io.StringIO()
    rows = (row for row in csv.reader(io.StringIO(text)) if row[0] not in left_out)
    csv.writer(kept, lineterminator="\n").writerows(rows)
    return kept.getvalue().encode()
