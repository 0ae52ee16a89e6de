"""The whole way of examples/orders: lock, package, verify, release into a local registry; printed as it happens.

It works on a copy with a history of its own, as a team would have it: `cdaf.lock` committed, the version tagged. The
bundle, the release record and the report are left in dist/.
"""

from __future__ import annotations

import http.client
import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path[0] = str(Path(__file__).resolve().parents[1])

from tools import push, serve, state  # noqa: E402
from tools.state import CHECKOUT, ToolError  # noqa: E402

ORDERS = CHECKOUT / "examples" / "orders"
DIST = CHECKOUT / "dist"
GIT = ["git", "-c", "user.name=demo", "-c", "user.email=demo@example.com", "-c", "init.defaultBranch=main"]


def main() -> int:
    """Show it; the exit code is that of the first command that fails."""
    try:
        with TemporaryDirectory(prefix="cdaf-demo-") as folder, serve.serving(Path(folder) / "registry") as registry:
            _show(Path(folder) / "orders", registry)
    except ToolError as error:
        return state.explain(error)
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def _show(project: Path, registry: serve.Registry) -> None:
    for old in DIST.glob("orders-*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    version = copy(project)
    _say("CI: everything that the service needs, pinned, then sealed into one file")
    _run(["cdaf", "lock"], project)
    _quiet([*GIT, "add", "cdaf.lock"], project)
    _quiet([*GIT, "commit", "-qm", "Pin the base and the sidecars"], project)
    _quiet([*GIT, "tag", f"v{version}"], project)
    bundle = _run(["cdaf", "package", "--locked", "--out", str(DIST)], project).strip()
    _say("any machine: the file proves itself, with nothing but Python")
    _run(["python3", bundle, "verify"], project)
    _say("CD: the image from that file alone, tested beside its sidecars, then published")
    target = f"registry:{registry.authority}/team/orders"
    reference = _run(["cdaf", "release", bundle, "--to", target], project).split()[0]
    _compare(reference, registry, Path(bundle))


def copy(project: Path) -> str:
    """A copy of what git tracks of the example, committed; returns its version."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ORDERS, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        if name == ".gitignore":  # it keeps cdaf.lock out of this repository; a team commits its own
            continue
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ORDERS / name, project / name)
    _quiet([*GIT, "init", "-q"], project)
    _quiet([*GIT, "add", "."], project)
    _quiet([*GIT, "commit", "-qm", "A service that takes orders"], project)
    settings = tomllib.loads((project / "pyproject.toml").read_text())
    return str(settings["project"]["version"])


def _compare(reference: str, registry: serve.Registry, bundle: Path) -> None:
    """Ask the registry, past cdaf, and the release record: all three must name one digest."""
    published = reference.rpartition("@")[2]
    by_registry = push.served(registry.port, "team/orders", published)
    tags = [each for each in _tags(registry) if not each.startswith("sha256-")]  # those list what refers to the image
    named = {tag: push.served(registry.port, "team/orders", tag) for tag in tags}
    records = sorted(bundle.parent.glob(f"{bundle.name.removesuffix('.cdaf')}*.release.toml"))
    recorded = bool(records) and published in records[-1].read_text()
    _say("the digest that was tested is the digest that was published")
    print(f"  cdaf release   {published}")
    print(f"  the registry   {by_registry}")
    for tag, digest in named.items():
        print(f"    tag {tag:18} {digest}")
    print(f"  release record {published if recorded else 'does not name it'}   {records[-1] if records else ''}")
    if by_registry != published or not recorded:
        raise ToolError("the digests differ")


def _tags(registry: serve.Registry) -> list[str]:
    connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=10)
    connection.request("GET", "/v2/team/orders/tags/list")
    tags = json.loads(connection.getresponse().read()).get("tags") or []
    connection.close()
    return sorted(tags)


def _say(text: str) -> None:
    print(f"\n# {text}", flush=True)


def _run(command: list[str], folder: Path) -> str:
    """Run a command as a user would, shown before; its stdout is shown and returned, stderr goes by."""
    print(f"$ {shlex.join(command)}", flush=True)
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, end="", flush=True)
    return done.stdout


def _quiet(command: list[str], folder: Path) -> None:
    """Run git, at the time of this checkout's last commit: the demo's own commits, and so its digests, repeat."""
    when = state.answers(["git", "-C", str(CHECKOUT), "log", "-1", "--format=%cI"]) or "2026-01-01T00:00:00Z"
    env = os.environ | {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    subprocess.run(command, cwd=folder, check=True, env=env)


if __name__ == "__main__":
    sys.exit(main())
