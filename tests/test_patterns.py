"""Globs of `cdaf.toml`."""

import pytest

from cdaf.projects.patterns import matching

NAMES = ["alembic.ini", "app.py", "migrations/env.py", "migrations/versions/0001.py", "src/a b.py", "x[1].txt"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("alembic.ini", ["alembic.ini"]),
        ("*.py", ["app.py"]),
        ("**/*.py", ["app.py", "migrations/env.py", "migrations/versions/0001.py", "src/a b.py"]),
        ("migrations/**", ["migrations/env.py", "migrations/versions/0001.py"]),
        ("migrations", ["migrations/env.py", "migrations/versions/0001.py"]),
        ("migrations/", ["migrations/env.py", "migrations/versions/0001.py"]),
        ("migrations/*", ["migrations/env.py"]),
        ("**", NAMES),
        ("./app.py", ["app.py"]),
        ("a??.py", ["app.py"]),
        ("[ab]pp.py", ["app.py"]),
        ("src/a b.py", ["src/a b.py"]),
        ("*/versions/**", ["migrations/versions/0001.py"]),
        ("migration", []),
        ("ini", []),
    ],
)
def test_patterns(pattern: str, expected: list[str]) -> None:
    assert matching(pattern, NAMES) == expected
