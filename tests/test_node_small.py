"""Node's small parts: ranges of versions beside npm's own, what `cdaf init` finds, where paths of a lock stand."""

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdaf.languages._node import layout, ranges
from cdaf.languages._node.values import Places
from cdaf.projects import starter
from cdaf.settings import config
from tests import makers, nodekit

VERSIONS = ("0.0.3", "0.2.9", "1.2.3", "2.0.0", "14.21.3", "18.0.0", "20.19.5", "22.0.0", "22.23.3", "24.1.0")
RANGES = (
    *(
        "*",
        "",
        "x",
        "18",
        ">=18",
        ">= 18",
        "> 18",
        "<22",
        "<=22",
        "=22.0.0",
        "v18.x",
        "18.x.x",
        "22.x",
        "22.*",
        "1.2.x",
    ),
    *(
        "^18",
        "^18.0.0 || ^20.9.0 || >=22",
        "^0.2.3",
        "^0.0.3",
        "^0.0",
        "^0",
        "^1.x",
        "^1.2.x",
        "^0.x",
        "~1.2.3",
        "~1.2",
    ),
    *("~1", "~>1.2", "~ 1.2", "1.2.3 - 2.3.4", "1.2 - 2.3", "1 - 2", ">=10.0.0 <15 || 18.x", ">14 <=20", ">=6.0.0-0"),
    *(">1.2.x", "<=1.2", ">1", "<1.2", "14 || 16 || >=18.12", " >=12 ", "^12.20.0 || ^14.13.1 || >=16.0.0", "< 0.0.0"),
    *(
        "20 || 22",
        "node18",
        ">=4.x",
        ">=0.10.0",
        "1.2.3-beta",
        ">=18.0.0+build",
        ">1.2.3-a",
        "<=1.2.3-a",
        "^1.2.3-a",
        "~1.2.3-a",
    ),
)


def npm_says(pairs: list[tuple[str, str]]) -> list[bool]:
    """What node-semver, as npm brings it, makes of versions and ranges."""
    semver = nodekit.programs().parent / "lib/node_modules/npm/node_modules/semver"
    program = (
        f"const s = require({json.dumps(str(semver))});"
        "const told = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "console.log(JSON.stringify(told.map(([v, r]) => s.validRange(r) === null || "
        "s.satisfies(v, r, { includePrerelease: true }))))"
    )
    done = subprocess.run(
        [nodekit.programs() / "node", "-e", program],
        input=json.dumps(pairs),
        capture_output=True,
        text=True,
        check=True,
    )
    told: list[bool] = json.loads(done.stdout)
    return told


def test_ranges_are_those_of_npm() -> None:
    pairs = [(version, wanted) for version in VERSIONS for wanted in RANGES]
    theirs = dict(zip(pairs, npm_says(pairs), strict=True))
    mine = {pair: ranges.satisfies(*pair) for pair in pairs}
    assert {pair: told for pair, told in mine.items() if told != theirs[pair]} == {}


@given(st.text(alphabet="0123456789.xX*^~<>=| -v", max_size=20))
def test_no_range_is_too_odd(text: str) -> None:
    assert ranges.satisfies("22.1.0", text) in (True, False)


def test_programs_are_linked_in_npm_s_order_of_paths() -> None:
    names = ["b", "a", "B", "@x/a", "a-b", "a.b", "a_b", "ab", "a1", "Z", "a/b", "_x", "10", "2"]
    program = "console.log(JSON.stringify(JSON.parse(process.argv[1]).sort((a, b) => a.localeCompare(b, 'en'))))"
    said = nodekit.run(nodekit.programs() / "node", "-e", program, json.dumps(names), cwd=Path.cwd())
    assert sorted(names, key=layout.rank) == json.loads(said)


@pytest.mark.parametrize(
    ("root", "service", "path", "place"),
    [
        ("", "", "node_modules/a", "/app/node_modules/a"),
        ("", "", "packages/lib", "/app/packages/lib"),
        ("", "", "packages/lib/node_modules/a", "/app/packages/lib/node_modules/a"),
        ("svc", "", "../libs/x", "/app/node_modules/.linked/libs/x"),
        ("svc", "", "../libs/x/node_modules/a", "/app/node_modules/.linked/libs/x/node_modules/a"),
        ("", "apps/api", "node_modules/a", "/node_modules/a"),
        ("", "apps/api", "apps/api/node_modules/a", "/app/node_modules/a"),
        ("", "apps/api", "apps/api", "/app"),
        ("", "apps/api", "apps/api-two", "/node_modules/.linked/apps/api-two"),
        ("mono", "apps/api", "libs/x", "/node_modules/.linked/mono/libs/x"),
    ],
)
def test_where_paths_of_a_lock_stand(root: str, service: str, path: str, place: str) -> None:
    assert Places(root, service).of(path) == place


def started(root: Path, manifest: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
    told = {"name": "shop", "version": "1.0.0", **manifest}
    makers.write(root, {"package-lock.json": "{}", "package.json": json.dumps(told), **files})
    written = starter.write(root)
    config.read(root)
    return tomllib.loads(written.read_text())


def test_what_a_folder_shows(tmp_path: Path) -> None:
    manifest = {
        "scripts": {"start": "node src/server.js"},
        "engines": {"node": ">=20"},
        "dependencies": {"express": "5", "pg": "8", "ioredis": "5"},
    }
    files = {
        "src/server.js": 'app.get("/healthz", ok); app.listen(process.env.PORT ?? 8080)',
        "views/index.html": "",
        "eslint.config.js": "",
        "smoke/a.test.js": "",
        "test/b.js": "",
    }
    told = started(tmp_path / "shop", manifest, files)
    assert told["service"] == {
        "start": ["node", "src/server.js"],
        "port": 8080,
        "include": ["src/**", "views/**"],
    }
    assert told["image"]["base"] == "node:22-slim"
    assert told["smoke"]["health"] == "/healthz"
    assert told["smoke"]["sidecars"] == ["postgres:17", "redis:7"]
    assert told["smoke"]["checks"] == ["node", "--test", "smoke/*.test.js"]


def test_a_program_without_an_ending_and_a_front_end(tmp_path: Path) -> None:
    manifest = {"version": "2.0.0", "scripts": {"start": "node ./bin/www", "build": "vite build"}}
    told = started(tmp_path / "shop", manifest, {"bin/www": "", "app.js": ""})
    assert told["service"] == {"start": ["node", "./bin/www"], "port": 3000, "include": ["app.js", "bin/www"]}
    assert told["build"] == {"run": [["npm", "run", "build"]], "outputs": ["dist/**"]}


@pytest.mark.parametrize(
    ("manifest", "files", "start"),
    [
        ({}, {"Procfile": "web: node app.js --x\n", "app.js": ""}, ["node", "app.js", "--x"]),
        ({"main": "./lib/main.js"}, {"lib/main.js": "", "server.js": ""}, ["node", "lib/main.js"]),
        ({"scripts": {"start": "NODE_ENV=x node a.js && b"}}, {"index.js": ""}, ["node", "index.js"]),
        ({}, {"odd.mjs": ""}, ["node", "odd.mjs"]),
        ({}, {}, ["node", "server.js"]),
    ],
)
def test_how_a_service_is_started(
    manifest: dict[str, Any], files: dict[str, str], start: list[str], tmp_path: Path
) -> None:
    assert started(tmp_path / "shop", manifest, files)["service"]["start"] == start
