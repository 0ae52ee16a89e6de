"""content-hash as Composer itself takes it, over many a composer.json."""

import json
import random
from typing import Any

import pytest

from cdaf.errors import ProjectError
from cdaf.languages._php import contenthash
from tests import phpkit

# As text, for JSON's own odd forms matter.
CRAFTED = (
    '{"require": {"php": ">=8.2", "psr/log": "^3"}}',
    '{"require": {}, "require-dev": {}}',
    '{"require": [], "extra": {}}',
    '{"extra": {"a": {}, "b": [], "c": [{}], "d": {"x": {}}}}',
    '{"extra": {"0": "a", "1": "b"}}',
    '{"extra": {"1": "a", "0": "b"}}',
    '{"extra": {"0": "a", "2": "b"}}',
    '{"extra": {"00": "a", "-1": "b", "-0": "c", "": "d"}}',
    '{"extra": {"5": 1, "x": 2, "5": 3}}',
    '{"extra": {"unicode": "Zürich 東京 😀 \\u00e9 \\ud83d\\ude00 \\u2028\\u2029"}}',
    '{"extra": {"path": "a/b\\/c", "html": "<a href=\\"x\\">&amp;\'</a>"}}',
    '{"extra": {"controls": "\\u0000\\u0001\\b\\f\\n\\r\\t\\u001f\\u007f\\\\"}}',
    '{"extra": {"floats": [1.0, 0.1, 1.5, -2.50, 1e3, 1E-7, 1.5e-5, 0.0001, 100000.5, 3.141592653589793]}}',
    '{"extra": {"floats": [1e15, 1e16, 1e17, 1e21, 1.5e300, -0.0, 0.0, 123456789012345678.0, 5e-324]}}',
    '{"extra": {"whole": [0, -0, 1, -1, 9223372036854775807, 9223372036854775808, 12345678901234567890]}}',
    '{"extra": {"whole": -9223372036854775808, "other": -9223372036854775809}}',
    '{"extra": {"plain": [true, false, null]}}',
    '{"extra": null, "version": null, "name": "a/b"}',
    '{"config": {"platform": {"php": "8.1.0"}, "sort-packages": true}}',
    '{"config": {"platform": {}}}',
    '{"config": {"platform": null}}',
    '{"config": {"platform": false}}',
    '{"config": {"sort-packages": true}}',
    '{"description": "not looked at", "autoload": {"psr-4": {"A\\\\": "src/"}}, "scripts": {"x": "y"}}',
    '{"name": "a/b", "version": "1.0", "conflict": {"x/y": "*"}, "replace": {"x/z": "*"}, "provide": {"p/q": "1"},'
    ' "minimum-stability": "dev", "prefer-stable": true, "repositories": [{"type": "vcs", "url": "https://x/y.git"}]}',
    '{"repositories": {"packagist.org": false, "own": {"type": "composer", "url": "https://example.org"}}}',
    '{"require": {"b/b": "1", "a/a": "2"}, "extra": {"z": 1, "a": 2}}',
    '{ "require" :\t{\r\n"php":"*" } }',
)


def random_value(chance: random.Random, depth: int = 0) -> Any:
    kinds = ["text", "number", "float", "flag", *(["list", "object"] if depth < 4 else [])]
    kind = chance.choice(kinds)
    if kind == "list":
        return [random_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind == "object":
        keys = [random_key(chance) for _ in range(chance.randrange(4))]
        return {key: random_value(chance, depth + 1) for key in keys}
    if kind == "text":
        return "".join(chr(chance.choice([*range(1, 0x250), 0x2028, 0x1F600])) for _ in range(chance.randrange(12)))
    if kind == "number":
        return chance.randrange(-(1 << 70), 1 << 70) >> chance.randrange(71)
    return (
        chance.choice([True, False, None])
        if kind == "flag"
        else chance.uniform(-1, 1) * 10 ** chance.randrange(-30, 30)
    )


def random_key(chance: random.Random) -> str:
    return chance.choice(["a", "b/c", "é", "0", "1", "2", "-3", "007", "1.5", "", "x y"])


@pytest.mark.docker
def test_it_is_composer_s_own_hash() -> None:
    chance = random.Random(4711)
    made = [json.dumps({"extra": random_value(chance), "require": {"a/b": "1"}}) for _ in range(300)]
    texts = [*CRAFTED, *made]
    told = phpkit.php(
        "foreach (glob('case-*') as $f)"
        " echo $f, ' ', Composer\\Package\\Locker::getContentHash(file_get_contents($f)), \"\\n\";",
        {f"case-{number:04d}": text.encode() for number, text in enumerate(texts)},
    )
    theirs = [line.split(" ")[1] for line in sorted(told.splitlines())]
    assert len(theirs) == len(texts)
    ours = [contenthash.of(contenthash.parse(text.encode(), "composer.json")) for text in texts]
    assert [(text, one) for text, one, other in zip(texts, ours, theirs, strict=True) if one != other] == []


@pytest.mark.parametrize("text", ["", "{", '{"a": NaN}', "\xff", "[" * 100_000])
def test_what_is_no_json_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ProjectError, match=r"composer\.json is not JSON"):
        contenthash.parse(text.encode("latin-1"), "composer.json")
