"""What a Dockerfile tells `cdaf init`: the port, and a path to probe where a source names one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cdaf.errors import CdafError
from cdaf.languages._docker import dockerfile, stages
from cdaf.projects.starter import Findings, check

_HEALTH = re.compile(rb"""["'](?:GET )?(/(?:healthz?|livez|readyz?|ping|_health))["']""")
_LARGEST = 1 << 20


def look(root: Path, names: Sequence[str]) -> Findings:
    """What the Dockerfile and the sources beside it tell; the image says itself how it starts."""
    reasons: dict[str, str] = {}
    port = None
    try:
        wanted = stages.target(dockerfile.parse((root / "Dockerfile").read_bytes(), "Dockerfile"), None)
        port = wanted.ports[0] if wanted and wanted.ports else None
    except (CdafError, OSError):
        reasons["port"] = "a placeholder, as the Dockerfile cannot be read"
    if port:
        reasons["port"] = "from EXPOSE in Dockerfile"
    script = check(names, ".sh")
    return Findings(
        start=(),
        port=port,
        health=_health(root, names) if port else None,
        checks=("sh", script) if script else (),
        reasons=reasons,
    )


def _health(root: Path, names: Sequence[str]) -> str | None:
    """The first path of the usual names that a source holds."""
    for name in names:
        path = root / name
        if path.is_file() and not path.is_symlink() and path.stat().st_size < _LARGEST:
            found = _HEALTH.search(path.read_bytes())
            if found:
                return found[1].decode()
    return None
