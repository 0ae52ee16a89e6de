"""TOML that would eat a machine is refused before it is parsed."""

import pytest

from cdaf import toml


def test_what_the_parser_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2 has more than 1000 dots"):
        toml.decode(b"a = 1\n" + b".".join([b"a"] * 100_000) + b" = 1\n")


def test_keys_as_deep_as_anybody_writes_them_are_read() -> None:
    found = toml.decode(b".".join([b"a"] * 50) + b' = "x.y.z"\n')
    for _ in range(49):
        found = found["a"]
    assert found == {"a": "x.y.z"}
