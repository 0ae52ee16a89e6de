"""What a Ruby project shows of itself: how it starts, what it listens on, what it needs beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cdaf.languages import ruby
from cdaf.languages._ruby import gemfile, numbers
from cdaf.languages._ruby.gemfile import Gemfile
from cdaf.projects.starter import ANY, Findings, check, existing, known_sidecars

_RACK, _RAILS = 9292, 3000
_HEALTH = re.compile(r"""["'](/(?:healthz?|livez|readyz?|ping|up|_health))["']""")
_PORT = re.compile(r"""(?:^|\s)(?:port|bind)\s+[^\n]*?(\d{4,5})\b""", re.MULTILINE)
_FOLDERS = ("app", "bin", "config", "db", "lib", "public", "views")
_ELSEWHERE = ("spec/", "test/", "smoke/", "vendor/", "features/")
_SIDECARS = {
    "postgres:17": {"pg", "sequel_pg"},
    "redis:7": {"redis", "redis-client", "sidekiq", "resque"},
    "mariadb:11": {"mysql2", "trilogy"},
    "rabbitmq:4": {"bunny", "sneakers", "kicks"},
    "nats:2": {"nats-pure"},
}
_COMPILED = {"puma", "nio4r", "bcrypt", "pg", "mysql2", "sqlite3", "bigdecimal", "racc", "msgpack", "unicorn", "thin"}
_SERVERS = ("puma", "falcon", "unicorn", "thin")
_GROUP = "smoke"


def look(root: Path, names: Sequence[str]) -> Findings:
    """What the Gemfile, its lock and the files beside them tell."""
    asked = gemfile.read(root / "Gemfile") if "Gemfile" in names else gemfile.read(root / "gems.rb")
    needs = {entry.name for entry in asked.entries}
    reasons: dict[str, str] = {}
    start, port = _start(root, names, needs, reasons)
    folders = [f"{each}/**" for each in _FOLDERS if any(name.startswith(f"{each}/") for name in names)]
    own = [name for name in names if "/" not in name and (name.endswith(".rb") or name in ("config.ru", "Rakefile"))]
    group = _GROUP if any(_GROUP in entry.groups for entry in asked.entries) else None
    base = _base(root, asked)
    compiled = needs & _COMPILED
    if compiled:
        base = base or ruby.BASE
        reasons["base"] = "of the same version as the image below [build]"
        reasons["image"] = f"{sorted(compiled)[0]} may have to be compiled, and slim images have no compiler"
    return Findings(
        start=start,
        image=base.removesuffix("-slim") if base and compiled else None,
        port=port,
        include=(*existing([each for each in own if each != "gems.rb"], names), *folders),
        base=base,
        health=_health(root, names) if port else None,
        sidecars=known_sidecars([image for image, clients in _SIDECARS.items() if clients & needs]),
        group=group,
        checks=("bundle", "exec", "ruby", script) if (script := check(names, ".rb")) else (),
        reasons=reasons,
        example=("ruby", "smoke/check.rb"),
    )


def _start(
    root: Path, names: Sequence[str], needs: set[str], reasons: dict[str, str]
) -> tuple[tuple[str, ...], int | None]:
    if "config.ru" not in names:
        script = next((name for name in ("app.rb", "main.rb", "server.rb") if name in names), "")
        reasons["start"] = f"{script} is there" if script else "nothing says how it starts: write it"
        return ("bundle", "exec", "ruby", script or "app.rb"), None
    server = next((each for each in _SERVERS if each in needs), "rackup")
    reasons["start"] = "config.ru is there" + (f", and the Gemfile names {server}" if server != "rackup" else "")
    default = _RAILS if "config/application.rb" in names else _RACK
    if server == "puma" and "config/puma.rb" in names:
        told = _PORT.search((root / "config" / "puma.rb").read_text(errors="replace"))
        return ("bundle", "exec", "puma", "-C", "config/puma.rb"), int(told[1]) if told else default
    if server == "puma":
        return ("bundle", "exec", "puma", "-b", f"tcp://{ANY}:{default}"), default
    if server == "rackup":
        return ("bundle", "exec", "rackup", "--host", ANY, "--port", str(default)), default
    return ("bundle", "exec", server), default


def _base(root: Path, asked: Gemfile) -> str | None:
    """The official image of the Ruby that the project names."""
    told = [each for each in asked.ruby if each]
    file = root / ".ruby-version"
    told += [file.read_text(errors="replace").strip().removeprefix("ruby-")] if file.is_file() else []
    normal = numbers.normal(told[0]) if told else None
    found = re.match(r"(?:=|~>|>=) (\d+\.\d+)", normal) if normal else None
    return f"ruby:{found[1]}-slim" if found else None


def _health(root: Path, names: Sequence[str]) -> str | None:
    sources = [name for name in names if name.endswith((".rb", ".ru")) and not name.startswith(_ELSEWHERE)]
    texts = ((root / name).read_text(errors="replace") for name in sources)
    return next((found[1] for text in texts if (found := _HEALTH.search(text))), None)
