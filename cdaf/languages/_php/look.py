"""What a PHP project shows of itself: how it starts, what it listens on, what it needs beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cdaf.languages._php import constraint, lockfile
from cdaf.projects.starter import ANY, Findings, check, existing, known_sidecars

PORT = 8000
_HEALTH = re.compile(r"""["'](/(?:healthz?|livez|readyz?|ping|up|_health))["']""")
_FRONTS = ("public/index.php", "web/index.php", "html/index.php", "index.php")
_KNOWN = ("8.4", "8.3", "8.2", "8.1", "8.5")
_SIDECARS = {
    "postgres:17": {"ext-pgsql", "ext-pdo_pgsql"},
    "redis:7": {"predis/predis", "ext-redis", "cheprasov/php-redis-client"},
    "rabbitmq:4": {"php-amqplib/php-amqplib", "ext-amqp"},
    "mariadb:11": {"ext-mysqli", "ext-pdo_mysql"},
    "nats:2": {"basis-company/nats"},
}
_FOLDERS = ("config", "templates", "resources", "views", "migrations", "translations", "routes", "bootstrap", "bin")


def look(root: Path, names: Sequence[str]) -> Findings:
    """What composer.json and the files beside it tell."""
    told = lockfile.manifest(root)
    front = next((name for name in _FRONTS if name in names), None)
    reasons: dict[str, str] = {}
    needs = {name.lower() for name in _table(told, "require")}
    return Findings(
        start=_start(front, names, reasons),
        port=PORT if front else None,
        include=existing(tuple(_own(told, front)), names),
        base=_base(told, reasons),
        health=_health(root, names) if front else None,
        sidecars=known_sidecars([image for image, clients in _SIDECARS.items() if clients & needs]),
        checks=("php", script) if (script := check(names, ".php")) else (),
        reasons=reasons,
        example=("php", "smoke/check.php"),
    )


def _table(told: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = told.get(key)
    return found if isinstance(found, dict) else {}


def _start(front: str | None, names: Sequence[str], reasons: dict[str, str]) -> tuple[str, ...]:
    if front is None:
        script = next((name for name in sorted(names) if name.endswith(".php") and "/" not in name), "main.php")
        reasons["start"] = "no index.php was found: say what starts the service"
        return ("php", script)
    folder = front.rpartition("/")[0] or "."
    reasons["start"] = "PHP's built-in server; docs/php.md says how php-fpm goes"
    return ("php", "-S", f"{ANY}:{PORT}", "-t", folder, front)


def _own(told: Mapping[str, Any], front: str | None) -> Iterator[str]:
    """The folders that a service is made of: its front, what it autoloads, and those with usual names."""
    if front:
        folder = front.rpartition("/")[0]
        yield f"{folder}/**" if folder else front
    for kind in _table(told, "autoload").values():
        for paths in kind.values() if isinstance(kind, dict) else kind if isinstance(kind, list) else ():
            for path in paths if isinstance(paths, list) else [paths]:
                name = str(path).strip("/")
                yield name if name.endswith(".php") else f"{name}/**"
    yield from (f"{name}/**" for name in _FOLDERS)


def _base(told: Mapping[str, Any], reasons: dict[str, str]) -> str | None:
    wanted = _table(told, "require").get("php")
    fits = (each for each in _KNOWN if constraint.allows(str(wanted), constraint.version(f"{each}.99") or (0, 0, 0, 0)))
    found = next(fits, None) if wanted else _KNOWN[0]
    if found and wanted:
        reasons["base"] = f"composer.json requires php {wanted}"
    return f"php:{found}-cli" if found else None


def _health(root: Path, names: Sequence[str]) -> str | None:
    for name in names:
        if name.endswith(".php") and not name.startswith(("tests/", "test/", "smoke/")):
            found = _HEALTH.search((root / name).read_text(errors="replace"))
            if found:
                return found[1]
    return None
