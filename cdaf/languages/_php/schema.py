"""Of which types the values of composer.json and composer.lock are (Composer's schemas), as far as anything is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_SHOWN = 60
Test = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or value == []  # PHP writes an empty table as an empty list


def _is_names(value: Any) -> bool:
    return _is_table(value) and all(map(_is_text, dict(value).values()))


def _is_dist(value: Any) -> bool:
    return _is_table(value) and _is_mirrors(dict(value).get("mirrors") or [])


def _is_mirrors(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) and _is_text(each.get("url")) for each in value)


_NEEDS: Mapping[str, tuple[Test, str]] = dict.fromkeys(
    ("require", "require-dev", "conflict", "provide", "replace", "suggest"), (_is_names, "a table of texts")
)
_COMMON: Mapping[str, tuple[Test, str]] = {
    **_NEEDS,
    "autoload": (_is_table, "a table"),
    "autoload-dev": (_is_table, "a table"),
    "scripts": (_is_table, "a table"),
    "bin": (lambda value: _is_text(value) or _is_texts(value), "a text, or a list of texts"),
    "license": (lambda value: _is_text(value) or _is_texts(value), "a text, or a list of texts"),
    "type": (_is_text, "a text"),
}
_PACKAGE: Mapping[str, tuple[Test, str]] = {
    **_COMMON,
    "dist": (_is_dist, "a table, whose mirrors each have a url"),
    "source": (_is_table, "a table"),
}


def of_package(entry: Mapping[str, Any]) -> Iterator[str]:
    """What is of another type in an entry of the lock."""
    yield from _faults(entry, _PACKAGE)


def of_manifest(told: Mapping[str, Any]) -> Iterator[str]:
    """What is of another type in composer.json."""
    yield from _faults(told, _COMMON)


def _faults(told: Mapping[str, Any], known: Mapping[str, tuple[Test, str]]) -> Iterator[str]:
    for key, (is_one, wanted) in known.items():
        value = told.get(key)
        if value is not None and not is_one(value):
            yield f"{key} is {json.dumps(value)[:_SHOWN]}, and {wanted} is known"
    try:
        json.dumps(told, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        yield "it holds half a character, which no UTF-8 has"
