"""Running the product as its users do: examples in a repository of their own, the command line in a fresh process."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock

from tests import makers

CHECKOUT = Path(__file__).parents[1]


def cdaf(
    *words: str | Path, cwd: Path | None = None, expect: int = 0, env: Mapping[str, str] = {}, **how: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command line and demand its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "cdaf", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", **env},
        capture_output=True,
        text=True,
        check=False,
        **how,
    )
    assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def example(name: str, into: Path) -> Path:
    """A copy of an example's tracked files in a git repository of its own, committed at a fixed time."""
    listed = subprocess.run(
        ["git", "-C", str(CHECKOUT / "examples" / name), "ls-files", "-z"], check=True, capture_output=True, text=True
    )
    for file in filter(None, listed.stdout.split("\0")):
        source = CHECKOUT / "examples" / name / file
        if file != ".gitignore":
            (into / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, into / file)
    return makers.repository(into, {})


def locked(name: str, into: Path, shared: Path) -> Path:
    """An example whose cdaf.lock is written and committed; the lock is made once for all tests of a run."""
    root = example(name, into)
    lock = shared / f"{name}.cdaf.lock"
    with filelock.FileLock(f"{lock}.busy"):
        if not lock.exists():
            cdaf("lock", root)
            shutil.copy(root / "cdaf.lock", lock)
    shutil.copy(lock, root / "cdaf.lock")
    makers.commit(root)
    return root


def packaged(name: str, shared: Path) -> Path:
    """The bundle of an example, packaged once for all tests of a run; never to be changed."""
    with filelock.FileLock(shared / f"{name}.package.busy"):
        done = shared / f"{name}.bundle"
        if not done.exists():
            root = locked(name, shared / f"{name}.source", shared)
            done.write_text(cdaf("package", root).stdout.strip())
        return Path(done.read_text())


def ask(words: Sequence[str]) -> str:
    """What another program prints."""
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{words[0]}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def document(text: str) -> Any:
    """A JSON answer."""
    return json.loads(text)


def put_manifest(registry: str, repository: str, tag: str, digest: str) -> None:
    """Move a tag to another manifest that the registry holds, as somebody else might."""
    url = f"http://{registry}/v2/{repository}/manifests"
    kinds = "application/vnd.oci.image.manifest.v1+json"
    with urllib.request.urlopen(urllib.request.Request(f"{url}/{digest}", headers={"Accept": kinds})) as answer:
        data = answer.read()
    moved = urllib.request.Request(f"{url}/{tag}", data, {"Content-Type": kinds}, method="PUT")
    urllib.request.urlopen(moved).close()
