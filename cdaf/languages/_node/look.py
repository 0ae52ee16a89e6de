"""What a Node project shows of itself: how it starts, what it listens on, what it needs beside it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cdaf.languages._node import lockfile, ranges
from cdaf.projects.starter import Findings, check, existing, known_sidecars

PORT = 3000
_ELSEWHERE = {"test", "tests", "__tests__", "smoke", "docs", "examples", "scripts", "bench", "e2e"}
_SOURCES = (".js", ".mjs", ".cjs")
_LIKELY = ("src/server.js", "server.js", "src/index.js", "index.js", "src/main.js", "main.js", "app.js", "src/app.js")
_HEALTH = re.compile(r"""["'`](/(?:healthz?|livez|readyz?|ping|_health))["'`]""")
_LISTENS = re.compile(r"(?:PORT\s*(?:\?\?|\|\|)\s*[\"']?|listen\(\s*(?:\{\s*port:\s*)?|port\s*[:=]\s*)(\d{2,5})\b")
_SIDECARS = {
    "postgres:17": {"pg", "postgres", "@prisma/client", "knex", "typeorm", "sequelize", "slonik"},
    "redis:7": {"redis", "ioredis", "bullmq", "bull"},
    "rabbitmq:4": {"amqplib", "amqp-connection-manager"},
    "mariadb:11": {"mysql", "mysql2", "mariadb"},
    "nats:2": {"nats"},
    "apache/kafka:4.0.0": {"kafkajs", "node-rdkafka"},
}
_WRITES = (("next", ".next"), ("react-scripts", "build"))  # all others: dist
_BASES = ("22", "24", "20")
_LARGEST = 1 << 20


def look(root: Path, names: Sequence[str]) -> Findings:
    """What package.json, the sources and the files beside them tell."""
    told = lockfile.table(root / "package.json")
    sources = [name for name in names if name.endswith(_SOURCES) and not _ELSEWHERE & set(Path(name).parts)]
    reasons: dict[str, str] = {}
    start = _start(root, told, names, sources, reasons)
    needs = {*_table(told, "dependencies")}
    texts = list(_texts(root, sources))
    beside = known_sidecars([image for image, clients in _SIDECARS.items() if clients & needs])
    run, outputs = _build(told, reasons)
    return Findings(
        start=start,
        run=run,
        outputs=outputs,
        port=_port(texts, reasons),
        include=existing(_include(sources, names, start), names),
        base=_base(told),
        health=next((found[1] for text in texts if (found := _HEALTH.search(text))), None),
        sidecars=beside,
        checks=_checks(names),
        reasons=reasons,
        example=("node", "--test", "smoke/*.test.js"),
    )


def _table(told: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = told.get(key)
    return found if isinstance(found, dict) else {}


def _start(
    root: Path, told: Mapping[str, Any], names: Sequence[str], sources: Sequence[str], reasons: dict[str, str]
) -> tuple[str, ...]:
    for text, reason in _said(root, told, names):
        try:
            words = tuple(shlex.split(text))
        except ValueError:
            continue
        if words and not re.search(r"[|&;<>$`]", text):
            reasons["start"] = reason
            return words
    main = told.get("main")
    likely = [name for name in (str(main or "").removeprefix("./"), *_LIKELY) if name in sources]
    reasons["start"] = f"found as {likely[0]}" if likely else "a guess: say how the service is started"
    return ("node", (likely or [*sources, "server.js"])[0])


def _said(root: Path, told: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    if "Procfile" in names:
        found = re.search(r"^web:\s*(.+)$", (root / "Procfile").read_text(errors="replace"), re.MULTILINE)
        if found:
            yield found[1], "from the Procfile"
    start = _table(told, "scripts").get("start")
    if isinstance(start, str):
        yield start, "from package.json"


def _texts(root: Path, sources: Sequence[str]) -> Iterator[str]:
    for name in sources:
        path = root / name
        if path.is_file() and path.stat().st_size < _LARGEST:
            yield path.read_text(errors="replace")


def _port(texts: Sequence[str], reasons: dict[str, str]) -> int | None:
    ports = [int(found[1]) for text in texts if (found := _LISTENS.search(text))]
    fitting = [port for port in ports if 1 <= port <= 65535]
    if not fitting:
        reasons["port"] = "a guess: say what it listens on"
    return fitting[0] if fitting else PORT


def _build(told: Mapping[str, Any], reasons: dict[str, str]) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """What builds a front end, and where the tools that are known to write write to."""
    if not isinstance(_table(told, "scripts").get("build"), str):
        return (), ()
    needs = {*_table(told, "devDependencies"), *_table(told, "dependencies")}
    folder = next((place for tool, place in _WRITES if tool in needs), "dist")
    reasons["run"] = "package.json has such a script"
    reasons["outputs"] = "say what it makes: nothing else of it enters the image"
    return (("npm", "run", "build"),), (f"{folder}/**",)


def _include(sources: Sequence[str], names: Sequence[str], start: Sequence[str]) -> tuple[str, ...]:
    """The folders and files that the service's own code lies in, those that such services serve, and what starts it."""
    folders = {name.partition("/")[0] for name in sources if "/" in name}
    served = {"public", "views", "static", "migrations", "prisma"} & {name.partition("/")[0] for name in names}
    top = [name for name in sources if "/" not in name and not re.search(r"\.(?:config|test|spec)\.", name)]
    inside = {*folders, *served}
    begun = [each for word in start if (each := word.removeprefix("./")) in names and each not in top]
    more = sorted(each for each in begun if each.partition("/")[0] not in inside)
    return (*(f"{folder}/**" for folder in sorted(inside)), *sorted(top), *more)


def _checks(names: Sequence[str]) -> tuple[str, ...]:
    """Tests for Node's own runner, else a program that checks."""
    for ending in _SOURCES:
        if check(names, f".test{ending}"):
            return ("node", "--test", f"smoke/*.test{ending}")
    script = check(names, *_SOURCES)
    return ("node", script) if script else ()


def _base(told: Mapping[str, Any]) -> str | None:
    wanted = _table(told, "engines").get("node")
    if not isinstance(wanted, str):
        return None
    fitting = (each for each in _BASES if ranges.satisfies(f"{each}.999.999", wanted))
    found = next(fitting, None)
    return f"node:{found}-slim" if found else None
