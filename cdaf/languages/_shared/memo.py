"""Answers worth keeping between runs: what a lock selects, what an archive holds, what a source became."""

import hashlib
from typing import Any, TypeVar

import msgspec

from cdaf import store, typed

_KIND = "answers"
_REVISION = "5"  # a change to any stored type, or to how an answer is found, is a new revision

T = TypeVar("T")


def key(*parts: bytes | str) -> str:
    """The name of an answer that depends on these parts and no others."""
    digest = hashlib.sha256(_REVISION.encode())
    for part in parts:
        data = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()


def load(name: str, kind: type[T]) -> T | None:
    """The stored answer, if there is an intact one of this type."""
    stored = store.recall(_KIND, name)
    try:
        return None if stored is None else typed.decode(stored, kind)
    except msgspec.MsgspecError:
        return None


def save(name: str, answer: Any) -> None:
    """Keep an answer, a msgspec value, for later runs."""
    store.remember(_KIND, name, msgspec.json.encode(answer))
