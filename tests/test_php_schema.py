"""Values of other types than Composer writes: told by name, before anything is asked of them."""

from typing import Any

import pytest

from cdaf.languages._php import lockfile, schema

PLAIN: dict[str, Any] = {
    "name": "a/b",
    "version": "1.0.0",
    "require": {"php": ">=8"},
    "autoload": {"psr-4": {"A\\": "src"}},
    "scripts": [],
    "bin": ["run"],
    "license": ["MIT"],
    "dist": {"type": "zip", "url": "https://x.invalid/z", "mirrors": [{"url": "https://y.invalid/%package%"}]},
    "source": {"type": "git", "url": "https://x.invalid/g"},
}


def test_what_composer_writes_is_taken() -> None:
    assert list(schema.of_package(PLAIN)) == []
    assert list(schema.of_manifest({"license": "MIT", "bin": "run", "require": [], "conflict": None})) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in ("require", "replace", "provide", "conflict") for value in (5, [1], {"a": 1})),
        *((key, value) for key in ("bin", "license") for value in (5, [5, None], {"a": "b"})),
        ("autoload", 5),
        ("scripts", [1]),
        ("type", 5),
        ("source", "x"),
        ("dist", "x"),
        ("dist", {"mirrors": ["x"]}),
        ("dist", {"mirrors": [{"url": 5}]}),
    ],
)
def test_what_it_does_not_is_told(key: str, value: Any) -> None:
    (told,) = schema.of_package({**PLAIN, key: value})
    assert told.startswith(f"{key} is ")


def test_half_a_character_is_told() -> None:
    assert list(schema.of_package({**PLAIN, "license": ["\ud800"]})) == [
        "it holds half a character, which no UTF-8 has"
    ]


@pytest.mark.parametrize("slash", ["/", "\\/"])
def test_no_login_and_no_query_of_an_address_is_sealed(slash: str) -> None:
    url = f"https:{slash}{slash}me:secret@x.invalid{slash}p.zip?token=secret&b=1"
    lock = f'{{"dist": {{"url": "{url}"}}, "description": "what? https:{slash}{slash}y.invalid is"}}'.encode()
    kept = lockfile.redacted(lock)
    assert b"secret" not in kept
    assert f"https:{slash}{slash}x.invalid{slash}p.zip".encode() in kept
    assert b'"what? ' in kept
