"""Constraints on PHP and its extensions, judged as Composer's own semver judges them."""

import itertools

import pytest

from cdaf.languages._php import constraint
from tests import phpkit

VERSIONS = (
    "5.6.40",
    "7.0.0",
    "7.1.33",
    "7.4.0",
    "7.4.33",
    "8.0.0",
    "8.0.30",
    "8.1.0",
    "8.2.0",
    "8.4.0",
    "8.4.28",
    "9.0.0",
)
CONSTRAINTS = (
    "*",
    "^8",
    "^8.1",
    "^8.1.3",
    "^7.4 || ^8.0",
    "^7.4|^8.0",
    "^5.3.2 || ^7.0 || ^8.0",
    "~8.1",
    "~8.1.0",
    "~7.4.0 || ~8.0.0 || ~8.1.0",
    "~8",
    ">=7.1",
    ">=7.1.3",
    ">= 7.4",
    ">=7.4,<9.0",
    ">=7.4 <9.0",
    ">=7.4, <8.1 || >=8.2",
    ">8.0",
    "<8.1",
    "<=8.0",
    "8.4",
    "8.4.28",
    "8.4.*",
    "8.*",
    "8.x",
    "!=8.0.0",
    ">=8.0 !=8.1.0",
    "7.4 - 8.0",
    "7.4.0 - 8.0.30",
    "7.1 - 8.1.0",
    "==8.0.0",
    "= 8.0.0",
    "<>8.0.0",
    "^8.0@dev",
    ">=8.1@stable",
    "^7.4.0-beta1 || ^8.0.0-RC1",
    "v8.1.0",
    "^0.3",
    "^0.0.3",
    "^0",
)


@pytest.mark.docker
def test_constraints_let_in_what_composer_lets_in() -> None:
    pairs = list(itertools.product(CONSTRAINTS, [*VERSIONS, "0.3.5", "0.0.3", "0.0.4", "0.4.0"]))
    cases = "\n".join(f"{wanted}\t{version}" for wanted, version in pairs)
    told = phpkit.php(
        "foreach (file('cases', FILE_IGNORE_NEW_LINES) as $line) { [$c, $v] = explode(\"\\t\", $line);"
        " echo Composer\\Semver\\Semver::satisfies($v, $c) ? 'yes' : 'no', \"\\n\"; }",
        {"cases": cases.encode()},
    )
    theirs = [answer == "yes" for answer in told.split()]
    ours = [constraint.allows(wanted, constraint.version(version) or (0, 0, 0, 0)) for wanted, version in pairs]
    assert [(pair, one) for pair, one, other in zip(pairs, ours, theirs, strict=True) if one is not other] == []


@pytest.mark.parametrize("text", ["dev-main", "^8 || dev-main", "self.version", "abc", "8.1.2.3.4", "^", "|| 8"])
def test_what_is_not_known_is_not_judged(text: str) -> None:
    assert constraint.allows(text, (8, 4, 28, 0)) in (None, True)


def test_debian_s_spelling_of_a_version() -> None:
    assert constraint.version("8.4.28-1~deb13u1") == (8, 4, 28, 0)
    assert constraint.version("dev") is None
