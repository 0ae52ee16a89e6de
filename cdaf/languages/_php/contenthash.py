"""`content-hash` of composer.lock: what Composer takes of composer.json, written as PHP writes JSON.

The rule is Composer's `Locker::getContentHash`: the MD5 over the keys that decide a resolve, sorted.
"""

from __future__ import annotations

import hashlib
import json
import math
from decimal import Decimal
from typing import Any

from cdaf.errors import ProjectError

_RELEVANT = (
    "name",
    "version",
    "require",
    "require-dev",
    "conflict",
    "replace",
    "provide",
    "minimum-stability",
    "prefer-stable",
    "repositories",
    "extra",
)
_LONGEST = 1 << 63
_LEAST, _MOST = 4, 17  # powers of ten between which PHP writes a number without an exponent


def parse(data: bytes, name: str) -> Any:
    """JSON as PHP's `json_decode` reads it into arrays. Raises ProjectError for what is none."""
    try:
        return json.loads(data.decode(), parse_constant=_refused, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise ProjectError(f"{name} is not JSON: {error}", "mend it, or take it from git") from error


def _refused(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _integer(text: str) -> int | float:
    """What has no room in 64 bits is a float to PHP."""
    number = int(text) if len(text) < 25 else float(text)
    return number if isinstance(number, int) and -_LONGEST <= number < _LONGEST else float(text)


def of(manifest: dict[str, Any]) -> str:
    """The hash of a composer.json as `parse` read it."""
    told = {key: manifest[key] for key in _RELEVANT if key in manifest}
    config = manifest.get("config")
    if isinstance(config, dict) and config.get("platform") is not None:
        told["config"] = {"platform": config["platform"]}
    return hashlib.md5(encode(dict(sorted(told.items()))).encode(), usedforsecurity=False).hexdigest()


def encode(value: Any) -> str:
    """JSON as PHP's `json_encode` writes arrays without any option."""
    if isinstance(value, dict):
        return _object(value)
    if isinstance(value, list):
        return f"[{','.join(map(encode, value))}]"
    if isinstance(value, float):
        return _float(value)
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(value: str) -> str:
    """Python escapes DEL, and PHP the slash."""
    parts = (json.dumps(part)[1:-1].replace("/", r"\/") for part in value.split("\x7f"))
    return '"' + "\x7f".join(parts) + '"'


def _object(value: dict[str, Any]) -> str:
    """Objects are arrays to PHP: an empty one, and one whose keys count from 0, come out as lists."""
    if list(value) == [str(number) for number in range(len(value))]:
        return f"[{','.join(map(encode, value.values()))}]"
    return f"{{{','.join(f'{encode(key)}:{encode(each)}' for key, each in value.items())}}}"


def _float(value: float) -> str:
    """The shortest digits that tell the number, as `serialize_precision = -1` has it (php_gcvt of 17 digits)."""
    if math.isinf(value):
        raise ProjectError("composer.json holds a number that is too large", "write it smaller, or as text")
    sign = "-" if math.copysign(1, value) < 0 else ""
    digits, exponent = _scientific(abs(value))
    if -_LEAST <= exponent < _MOST:
        return sign + _plain(digits, exponent)
    return f"{sign}{digits[0]}.{digits[1:] or '0'}e{'+' if exponent >= 0 else '-'}{abs(exponent)}"


def _scientific(value: float) -> tuple[str, int]:
    """The shortest digits of a number and the power of ten of the first."""
    sign, digits, power = Decimal(repr(value)).as_tuple()
    del sign
    text = "".join(map(str, digits))
    exponent = len(text) - 1 + int(power)
    return text.rstrip("0") or "0", exponent if value else 0


def _plain(digits: str, exponent: int) -> str:
    if exponent < 0:
        return f"0.{'0' * (-exponent - 1)}{digits}"
    whole, rest = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{whole}{'.' + rest if rest else ''}"
