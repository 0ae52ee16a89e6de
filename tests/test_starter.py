"""What `init` makes of a folder, and that the result holds."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cdaf.errors import ProjectError
from cdaf.languages._python import look
from cdaf.projects import starter
from cdaf.settings import config
from tests import acceptance, makers

LOCK = "version = 1\n"


def project(*needs: str, **tables: str) -> str:
    listed = ", ".join(f'"{need}"' for need in needs)
    text = f'[project]\nname = "shop"\nversion = "1.0"\nrequires-python = ">=3.11"\ndependencies = [{listed}]\n'
    return text + "".join(f"[{name}]\n{content}\n" for name, content in tables.items())


def started(root: Path, files: dict[str, str]) -> dict[str, Any]:
    makers.write(root, {"uv.lock": LOCK, **files})
    written = starter.write(root)
    config.read(root)
    return tomllib.loads(written.read_text())


@pytest.mark.parametrize(
    ("needs", "files", "start"),
    [
        (
            ["flask", "gunicorn"],
            {"src/shop/web.py": "from flask import Flask\napp = Flask(__name__)\n"},
            ["gunicorn", "shop.web:app", "--bind", "0.0.0.0:8000"],
        ),
        (
            ["fastapi", "uvicorn[standard]>=0.30"],
            {"shop/main.py": "from fastapi import FastAPI\napi: FastAPI = FastAPI()\n"},
            ["uvicorn", "shop.main:api", "--host", "0.0.0.0", "--port", "8000"],
        ),
        (
            ["fastapi[standard]"],
            {"main.py": "import fastapi\napp = fastapi.FastAPI()\n"},
            ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"],
        ),
        (
            ["Flask", "gunicorn"],
            {"shop/__init__.py": "def create_app(settings=None):\n    pass\n"},
            ["gunicorn", "shop:create_app()", "--bind", "0.0.0.0:8000"],
        ),
        (
            ["starlette", "uvicorn"],
            {"shop/app.py": "from starlette import Starlette\ndef create_app():\n    return Starlette()\n"},
            ["uvicorn", "--factory", "shop.app:create_app", "--host", "0.0.0.0", "--port", "8000"],
        ),
        (
            ["django", "gunicorn"],
            {"shop/wsgi.py": "import x\napplication = get_wsgi_application()\n", "manage.py": ""},
            ["gunicorn", "shop.wsgi:application", "--bind", "0.0.0.0:8000"],
        ),
        (
            ["flask", "waitress"],
            {"shop/wsgi.py": "app = Flask('x')\n", "shop/other.py": "app = Flask('y')\n"},
            ["waitress-serve", "--listen=0.0.0.0:8000", "shop.wsgi:app"],
        ),
        (["starlette", "hypercorn"], {"a.py": "app = Starlette()\n"}, ["hypercorn", "a:app", "--bind", "0.0.0.0:8000"]),
        (["flask"], {"tests/app.py": "app = Flask('x')\n", "shop/__main__.py": ""}, ["python", "-m", "shop"]),
        (["flask"], {"broken.py": "def (:\n"}, ["python", "broken.py"]),
        (["x"], {"Procfile": "release: a\nweb: gunicorn shop:app -b :9000\n"}, ["gunicorn", "shop:app", "-b", ":9000"]),
        (["x"], {"Procfile": "web: gunicorn -b :$PORT\n", "run.py": ""}, ["python", "run.py"]),
        (["x"], {"Dockerfile": 'FROM a\nEXPOSE 7000\nCMD ["serve", "--all"]\n'}, ["serve", "--all"]),
    ],
)
def test_how_it_starts(tmp_path: Path, needs: list[str], files: dict[str, str], start: list[str]) -> None:
    assert started(tmp_path, {"pyproject.toml": project(*needs), **files})["service"]["start"] == start


def test_ports(tmp_path: Path) -> None:
    files = {"pyproject.toml": project(), "Procfile": "web: serve --port 9000\n"}
    assert started(tmp_path / "a", files)["service"]["port"] == 9000
    files = {"pyproject.toml": project(), "Dockerfile": 'EXPOSE 7000\nCMD ["serve"]\n'}
    assert started(tmp_path / "b", files)["service"]["port"] == 7000
    assert "port" not in started(tmp_path / "c", {"pyproject.toml": project()})["service"]


def test_a_service_that_is_no_package_brings_its_files(tmp_path: Path) -> None:
    files = {"app.py": "app = Flask('x')\n", "shop/a.py": "", "tests/test_a.py": "", "static/a.css": ""}
    made = started(tmp_path / "a", {"pyproject.toml": project("flask"), **files})
    assert made["service"]["include"] == ["shop/**", "*.py", "static/**"]
    package = project("flask", **{"build-system": 'requires = ["hatchling"]'})
    assert "include" not in started(tmp_path / "b", {"pyproject.toml": package, **files})["service"]


def test_migrations_sidecars_health_and_checks(tmp_path: Path) -> None:
    groups = {"dependency-groups": 'smoke = ["httpx", "pytest>=8"]', "build-system": "requires = []"}
    made = started(
        tmp_path,
        {
            "pyproject.toml": project("psycopg[binary]", "redis>=5", "pika", "flask", "gunicorn", **groups),
            "alembic.ini": "[alembic]\nscript_location = %(here)s/db/steps\n",
            "db/steps/env.py": "",
            "shop.py": "app = Flask('x')\n@app.get('/readyz')\ndef ready(): ...\n",
            "smoke/test_a.py": "",
        },
    )
    assert made["service"]["include"] == ["db/steps/**", "alembic.ini"]
    assert made["smoke"] == {
        "health": "/readyz",
        "before": [["alembic", "upgrade", "head"]],
        "sidecars": ["postgres:17", "redis:7", "rabbitmq:4"],
        "group": "smoke",
        "checks": ["pytest", "-q", "-p", "no:cacheprovider", "smoke/"],
    }


MANIFESTS = {
    "python": {"uv.lock": LOCK, "pyproject.toml": project()},
    "node": {"package-lock.json": "{}", "package.json": "{}"},
    "ruby": {"Gemfile.lock": "", "Gemfile": 'gem "x"\n'},
    "php": {"composer.lock": "{}", "composer.json": "{}"},
    "docker": {"Dockerfile": "FROM scratch\n"},
}


@pytest.mark.parametrize(
    ("language", "files", "checks"),
    [
        ("python", ["a.py", "check.py", "conftest.py", "test_a.py"], ("python", "smoke/check.py")),
        ("python", ["conftest.py", "test_a.py"], ()),
        ("node", ["check.js", "b.test.js"], ("node", "--test", "smoke/*.test.js")),
        ("node", ["b.test.mjs"], ("node", "--test", "smoke/*.test.mjs")),
        ("node", ["a.js", "check.mjs"], ("node", "smoke/check.mjs")),
        ("node", ["compose.yaml"], ()),
        ("ruby", ["a.rb", "check_a.rb"], ("bundle", "exec", "ruby", "smoke/check_a.rb")),
        ("php", ["bootstrap.php", "check.php"], ("php", "smoke/check.php")),
        ("php", ["orders.php"], ("php", "smoke/orders.php")),
        ("php", ["data/check.php", "compose.yaml"], ()),
        ("docker", ["check.sh"], ("sh", "smoke/check.sh")),
    ],
)
def test_the_service_s_own_checks_are_found(
    tmp_path: Path, language: str, files: list[str], checks: tuple[str, ...]
) -> None:
    makers.write(tmp_path, {**MANIFESTS[language], **{f"smoke/{name}": "" for name in files}})
    assert starter.look(tmp_path).checks == checks


@pytest.mark.parametrize(
    ("requires", "base"),
    [(">=3.11", "python:3.13-slim"), (">=3.9,<3.12", "python:3.11-slim"), (">=3.14", "python:3.14-slim"), ("x", None)],
)
def test_the_base_suits_requires_python(tmp_path: Path, requires: str, base: str | None) -> None:
    text = project().replace(">=3.11", requires)
    assert look.look(tmp_path, ["uv.lock"]).base is None
    assert started(tmp_path, {"pyproject.toml": text}).get("image", {}).get("base") == base


def test_every_proposed_sidecar_has_a_fragment() -> None:
    proposed = list(look._SIDECARS)
    assert starter.known_sidecars(proposed) == tuple(proposed)


def test_files_that_are_not_added_to_git_yet_are_seen(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    files = {
        "pyproject.toml": project("fastapi", "uvicorn"),
        "src/shop/app.py": "from fastapi import *\napp = FastAPI()\n",
    }
    assert started(tmp_path, files)["service"]["start"][:2] == ["uvicorn", "shop.app:app"]


def test_refuses_to_overwrite(tmp_path: Path) -> None:
    started(tmp_path / "a", {"pyproject.toml": project()})
    before = (tmp_path / "a" / "cdaf.toml").read_bytes()
    with pytest.raises(ProjectError, match="is there already"):
        starter.write(tmp_path / "a")
    assert (tmp_path / "a" / "cdaf.toml").read_bytes() == before
    makers.write(tmp_path / "b", {"uv.lock": LOCK, "pyproject.toml": project(**{"tool.cdaf.service": "port = 1"})})
    with pytest.raises(ProjectError, match="already"):
        starter.write(tmp_path / "b")


def test_without_a_lockfile(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"no lockfile .*uv\.lock"):
        starter.write(tmp_path)
    assert not (tmp_path / "cdaf.toml").exists()


def test_the_result_passes_check(tmp_path: Path) -> None:
    root = acceptance.example("orders", tmp_path / "orders")
    (root / "cdaf.toml").unlink()
    makers.commit(root)
    command = [sys.executable, "-m", "cdaf"]
    done = subprocess.run([*command, "init"], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == f"{config.NAME}\n"
    makers.commit(root)
    environment = {**os.environ, **makers.IDENTITY}
    done = subprocess.run([*command, "check", root], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_placeholder_is_refused_until_it_is_replaced(tmp_path: Path) -> None:
    root = makers.repository(tmp_path / "shop", {"uv.lock": LOCK, "pyproject.toml": project()})
    acceptance.cdaf("init", root)
    assert 'start = ["python", "main.py"]  # a placeholder' in (root / "cdaf.toml").read_text()
    told = acceptance.cdaf("check", root, expect=3).stderr
    assert "service.start: 'main.py' is nothing that git tracks: say how the service starts" in told


def test_a_package_that_starts_by_a_file_brings_that_file(tmp_path: Path) -> None:
    package = project(**{"build-system": 'requires = ["hatchling"]'})
    made = started(
        tmp_path, {"pyproject.toml": package, "serve.py": "", "other.py": "", "Procfile": "web: python serve.py"}
    )
    assert (made["service"]["start"], made["service"]["include"]) == (["python", "serve.py"], ["serve.py"])


def test_a_group_without_checks_is_left_to_be_uncommented(tmp_path: Path) -> None:
    groups = {"dependency-groups": 'smoke = ["httpx"]'}
    begun = started(tmp_path, {"pyproject.toml": project(**groups)})
    assert "group" not in begun["smoke"]
    assert '# group = "smoke"' in (tmp_path / "cdaf.toml").read_text()


def test_where_ruby_compiles_both_images_are_written(tmp_path: Path) -> None:
    makers.write(tmp_path, {"Gemfile.lock": "", "Gemfile": 'gem "puma"\n', "config.ru": ""})
    begun = tomllib.loads(starter.write(tmp_path).read_text())
    assert (begun["image"]["base"], begun["build"]["image"]) == ("ruby:3.4-slim", "ruby:3.4")
