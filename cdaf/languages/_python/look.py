"""What a Python project shows of itself: how it starts, what it listens on, what it needs beside it."""

import ast
import configparser
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cdaf.projects.starter import ANY, Findings, check, existing, known_sidecars
from cdaf.settings import config

PORT = 8000
_ASGI = {"FastAPI", "Starlette", "Litestar", "Quart", "BlackSheep", "get_asgi_application"}
_WSGI = {"Flask", "Bottle", "APIFlask", "get_wsgi_application"}
_FACTORIES = {"create_app", "make_app", "build_app", "get_app"}
_ELSEWHERE = {"tests", "test", "smoke", "docs", "examples", "migrations", "alembic", "scripts", "benchmarks"}
_LIKELY = ("wsgi", "asgi", "main", "app", "web", "api", "server", "__init__")
_HEALTH = re.compile(r"""["'](/(?:healthz?|livez|readyz?|ping|_health))["']""")
_SIDECARS = {
    "postgres:17": {"psycopg", "psycopg2", "psycopg2-binary", "asyncpg", "pg8000"},
    "redis:7": {"redis", "hiredis", "aioredis", "rq"},
    "rabbitmq:4": {"pika", "aio-pika", "amqp", "kombu"},
    "mariadb:11": {"mysqlclient", "pymysql", "mariadb", "aiomysql", "asyncmy"},
    "nats:2": {"nats-py"},
    "apache/kafka:4.0.0": {"kafka-python", "confluent-kafka", "aiokafka"},
}
_BASES = ("3.13", "3.12", "3.11", "3.10", "3.14")


class _App(NamedTuple):
    """An application object in a module; a factory has to be called first."""

    module: str
    name: str
    asgi: bool
    factory: bool
    rank: tuple[int, ...]


def look(root: Path, names: Sequence[str]) -> Findings:
    """What pyproject.toml, the sources and the files beside them tell."""
    project = config.parse(root / "pyproject.toml") if (root / "pyproject.toml").is_file() else {}
    sources = [name for name in names if name.endswith(".py") and not _ELSEWHERE & set(Path(name).parts)]
    needs = _needs(project)
    reasons: dict[str, str] = {}
    start, port = _start(root, names, sources, project, needs, reasons)
    include, before = _migrations(root, names)
    beside = known_sidecars([image for image, clients in _SIDECARS.items() if clients & needs])
    group, checks = _checks(project, names)
    is_package = "build-system" in project
    own = existing(start[1:] if start[:1] == ("python",) else (), names)
    own = own if is_package else existing(_own_files(sources), names)
    return Findings(
        start=start,
        port=port,
        include=(*own, *include),
        base=_base(project),
        health=_health(root, sources) if port else None,
        before=before,
        sidecars=beside,
        group=group,
        checks=checks,
        reasons=reasons,
        entering="a service that is a package enters as its wheel as well",
        example=("pytest", "-q", "smoke/"),
        grouped=True,
    )


def _needs(project: Mapping[str, Any]) -> set[str]:
    """The names of the project's own requirements, normalised (PEP 503)."""
    declared = project.get("project", {}).get("dependencies", [])
    found = (re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) for text in declared if isinstance(text, str))
    return {re.sub(r"[-_.]+", "-", match.group()).lower() for match in found if match}


def _start(
    root: Path,
    names: Sequence[str],
    sources: Sequence[str],
    project: Mapping[str, Any],
    needs: set[str],
    reasons: dict[str, str],
) -> tuple[tuple[str, ...], int | None]:
    told = _procfile(root, names) or _dockerfile(root, names)
    if told is not None:
        reasons["start"] = told[1]
        return told[0], _port_in(told[0]) or _exposed(root, names)
    apps = sorted(_apps(root, sources), key=lambda app: app.rank)
    if apps and (words := _serve(apps[0], needs)):
        reasons["start"] = "found in " + apps[0].module
        return words, PORT
    scripts = list(project.get("project", {}).get("scripts", {}))
    reasons["start"] = "a guess: say how the service is started"
    if scripts:
        return (scripts[0],), None
    modules = [name for name in sources if name.endswith("__main__.py")]
    if modules:
        return ("python", "-m", _module(str(Path(modules[0]).parent))), None
    if not sources:
        reasons["start"] = "a placeholder, as no program was found here: say how the service is started"
    return ("python", *(sources[:1] or ["main.py"])), None


def _serve(app: _App, needs: set[str]) -> tuple[str, ...]:
    """The command line of the first server that the project depends on and that speaks the application's interface."""
    target, address = f"{app.module}:{app.name}", f"{ANY}:{PORT}"
    host = ("--host", ANY, "--port", str(PORT))
    factory = ("--factory",) if app.factory else ()
    called = f"{target}()" if app.factory else target
    asgi = {
        "uvicorn": ("uvicorn", *factory, target, *host),
        "fastapi": ("uvicorn", *factory, target, *host),
        "hypercorn": ("hypercorn", called, "--bind", address),
        "granian": ("granian", "--interface", "asgi", *factory, *host, target),
        "daphne": ("daphne", "-b", ANY, "-p", str(PORT), target),
    }
    wsgi = {
        "gunicorn": ("gunicorn", called, "--bind", address),
        "granian": ("granian", "--interface", "wsgi", *factory, *host, target),
        "waitress": ("waitress-serve", f"--listen={address}", *(("--call",) if app.factory else ()), target),
        "flask": ("flask", "--app", target, "run", *host),
    }
    return next((words for server, words in (asgi if app.asgi else wsgi).items() if server in needs), ())


def _apps(root: Path, sources: Sequence[str]) -> Iterator[_App]:
    for name in sources:
        try:
            tree = ast.parse((root / name).read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue
        text = ast.dump(tree)
        is_asgi = any(f"id='{word}'" in text for word in _ASGI)
        stem = Path(name).stem
        likely = _LIKELY.index(stem) if stem in _LIKELY else len(_LIKELY)
        for variable, maker, factory in filter(None, map(_app, tree.body)):
            asgi = maker in _ASGI or (maker not in _WSGI and is_asgi)
            yield _App(_module(name[:-3]), variable, asgi, factory, (factory, likely, name.count("/")))


def _app(node: ast.stmt) -> tuple[str, str, bool] | None:
    """Name, maker and whether it must be called, of an application that a statement of a module makes."""
    if isinstance(node, ast.FunctionDef) and node.name in _FACTORIES:
        needed = len(node.args.args) + len(node.args.posonlyargs) - len(node.args.defaults)
        return (node.name, node.name, True) if needed == 0 else None
    target = (
        node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
    )
    value = getattr(node, "value", None)
    if not isinstance(target, ast.Name) or not isinstance(value, ast.Call):
        return None
    maker = getattr(value.func, "id", getattr(value.func, "attr", ""))
    return (target.id, maker, False) if maker in _ASGI | _WSGI | _FACTORIES else None


def _module(name: str) -> str:
    return name.removeprefix("src/").removesuffix("/__init__").replace("/", ".")


def _procfile(root: Path, names: Sequence[str]) -> tuple[tuple[str, ...], str] | None:
    if "Procfile" not in names:
        return None
    for line in (root / "Procfile").read_text(errors="replace").splitlines():
        kind, _, command = line.partition(":")
        if kind.strip() == "web" and command.strip() and not re.search(r"[$|&;<>`]", command):
            return tuple(shlex.split(command)), "from Procfile"
    return None


def _dockerfile(root: Path, names: Sequence[str]) -> tuple[tuple[str, ...], str] | None:
    """The last CMD in exec form, when there is no ENTRYPOINT to go before it."""
    text = (root / "Dockerfile").read_text(errors="replace") if "Dockerfile" in names else ""
    commands = re.findall(r"^\s*CMD\s+(\[.*\])\s*$", text, re.MULTILINE | re.IGNORECASE)
    if not commands or re.search(r"^\s*ENTRYPOINT\b", text, re.MULTILINE | re.IGNORECASE):
        return None
    try:
        words = json.loads(commands[-1])
    except ValueError:
        return None
    plain = words and all(isinstance(word, str) and "$" not in word for word in words)
    return (tuple(words), "from Dockerfile") if plain else None


def _port_in(words: Sequence[str]) -> int | None:
    found = re.search(r"(?:--port[= ]|-p |-b |--bind[= ]|--listen[= ])(?:[^\s:]*:)?(\d{2,5})\b", " ".join(words))
    return int(found.group(1)) if found else None


def _exposed(root: Path, names: Sequence[str]) -> int | None:
    text = (root / "Dockerfile").read_text(errors="replace") if "Dockerfile" in names else ""
    found = re.search(r"^\s*EXPOSE\s+(\d{2,5})\b", text, re.MULTILINE | re.IGNORECASE)
    return int(found.group(1)) if found else None


def _migrations(root: Path, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    if "alembic.ini" in names:
        parser = configparser.RawConfigParser()
        parser.read_string((root / "alembic.ini").read_text(errors="replace"))
        folder = parser.get("alembic", "script_location", fallback="migrations").replace("%(here)s/", "")
        return (*existing([f"{folder}/**"], names), "alembic.ini"), (("alembic", "upgrade", "head"),)
    if "manage.py" in names:
        return ("manage.py",), (("python", "manage.py", "migrate", "--noinput"),)
    return (), ()


def _checks(project: Mapping[str, Any], names: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    groups = project.get("dependency-groups", {})
    group = "smoke" if "smoke" in groups else None
    has_files = any(name.startswith("smoke/") for name in names)
    if any(str(text).startswith("pytest") for text in groups.get("smoke", [])):
        return group, ("pytest", "-q", "-p", "no:cacheprovider", "smoke/") if has_files else ()
    # Run as programs, tests for pytest would check nothing, and pass.
    script = check([name for name in names if not name.startswith(("smoke/test_", "smoke/conftest"))], ".py")
    return group, ("python", script) if script else ()


def _own_files(sources: Sequence[str]) -> list[str]:
    """Patterns for a service that is no package: its modules, and its folders that hold some."""
    folders = sorted({f"{name.partition('/')[0]}/**" for name in sources if "/" in name})
    return [*folders, *(["*.py"] if any("/" not in name for name in sources) else []), "templates/**", "static/**"]


def _base(project: Mapping[str, Any]) -> str | None:
    """The base with the first Python, in order of preference, that `requires-python` admits."""
    declared = project.get("project", {}).get("requires-python")
    if not isinstance(declared, str):
        return None
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        admitted = SpecifierSet(declared)
    except InvalidSpecifier:
        return None
    return next((f"python:{version}-slim" for version in _BASES if f"{version}.99" in admitted), None)


def _health(root: Path, sources: Sequence[str]) -> str | None:
    for name in sources:
        try:
            found = _HEALTH.search((root / name).read_text(errors="replace"))
        except OSError:
            continue
        if found:
            return found.group(1)
    return None
