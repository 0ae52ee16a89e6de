"""The one door to decoding by types: what a type's first use looks up is looked up by one thread alone.

msgspec keeps that with the type, and two threads that do it at once crash the interpreter.
"""

import threading
from typing import Any, TypeVar

import msgspec

_T = TypeVar("_T")
_lock = threading.Lock()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decode(data: bytes | str, kind: type[_T]) -> _T:
    """JSON as a value of that type. Raises msgspec.MsgspecError, RecursionError for what nests too deep."""
    found: _T = _decoder(kind).decode(data)
    return found


def convert(value: Any, kind: type[_T]) -> _T:
    """What a parser made, as a value of that type. Raises msgspec.ValidationError."""
    _decoder(kind)
    return msgspec.convert(value, kind)


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    found = _decoders.get(kind)
    if found is None:
        with _lock:
            found = _decoders[kind] = msgspec.json.Decoder(kind)
    return found
