"""[build]: the project's own commands, in a container without network, with a developer's packages beside them."""

from __future__ import annotations

import functools
import io
import json
import platform
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cdaf import engine, languages, progress, store
from cdaf.errors import ProjectError, ResolveError, faults
from cdaf.languages._python import collect, content, environment, memo, native, resolve, scratch, tree
from cdaf.languages._python.tree import Leaf
from cdaf.languages._python.values import VENV, Choice, Target
from cdaf.net.fetch import KIND
from cdaf.projects import patterns
from cdaf.projects import pins as pinned
from cdaf.projects.pins import Pins
from cdaf.projects.project import Project

_APP = "/app"
# Runs the commands in turn and copies what the expressions match to the folder that is brought back.
_RUN = """\
import json, os, re, shutil, subprocess, sys
commands, expressions, out = json.loads(sys.argv[1])
for command in commands:
    print("+", *command, flush=True)
    code = subprocess.call(command, stdin=subprocess.DEVNULL)
    if code:
        sys.exit(f"{command[0]} ended with {code}")
for base, folders, files in os.walk("."):
    folders[:] = [each for each in folders if os.path.join(base, each) != "./.venv"]
    for each in files:
        name = os.path.relpath(os.path.join(base, each), ".")
        if any(re.compile(expression, re.DOTALL).fullmatch(name) for expression in expressions):
            os.makedirs(os.path.dirname(os.path.join(out, name)), exist_ok=True)
            shutil.copy(name, os.path.join(out, name))
"""


class Output(msgspec.Struct, frozen=True):
    """A file that the commands made: `name` is below /app, the bytes are in the store."""

    name: str
    sha256: str
    executable: bool

    @property
    def path(self) -> Path:
        """Where its bytes lie."""
        return store.path(KIND, self.sha256)


def outputs(project: Project, pins: Pins) -> tuple[Output, ...]:
    """What [build] outputs names, made now or by an earlier run of the same commands on the same files.

    Raises ProjectError when a command fails or a pattern matches nothing it made, ResolveError when the platform does
    not run here.
    """
    target = _target(project, pins)
    choices = resolve.tools(project, target)
    archives = collect.obtain(project, pins, choices, (target,))
    leaves = tree.tracked(project.root)
    digests = sorted(each.dependency.sha256 for each in archives)
    told = msgspec.json.encode([project.settings.build, target.base.digest, project.settings.service.env])
    name = memo.key("commands", tree.digest(leaves), told, *digests)
    known = memo.load(name, tuple[Output, ...])
    if known is None or not all(store.checked(KIND, each.sha256) for each in known):
        with progress.step("running [build] commands"):
            known = _run(project, target, choices, archives, leaves)
        memo.save(name, known)
    _demand_all(project, known)
    return known


def _target(project: Project, pins: Pins) -> Target:
    """The platform of this machine if it is one of the project's, else the first: what comes out serves all."""
    wanted = project.settings.image.platforms
    here = [each for each in wanted if environment.machine(each) == platform.machine()]
    chosen = (here or list(wanted))[0]
    reference = project.settings.build.image or project.settings.image.base or resolve.BASE
    return Target(platform=chosen, base=pinned.base(pins, reference, chosen))


def _run(
    project: Project,
    target: Target,
    choices: Sequence[Choice],
    archives: Sequence[languages.Archive],
    leaves: Sequence[Leaf],
) -> tuple[Output, ...]:
    if not engine.facts().runs(target.platform):
        raise ResolveError(f"[build] needs {target.platform}, which does not run here", "package where it runs")
    image = engine.ensure(target.base.reference, target.base.digest, target.platform)
    spread = content.spreads(project.root, choices, archives, target)
    settings = project.settings.build
    told = json.dumps([settings.run, [_expression(each) for each in settings.outputs], native.OUT])
    with scratch.folder() as temporary:
        archive = native.tar(temporary / "put.tar.gz", spread, target, leaves, _APP)
        with archive.open("rb") as put:
            ran = engine.run(
                image,
                [f"{VENV}/bin/python", "-c", _RUN, told],
                put=iter(lambda: put.read(1 << 20), b""),
                take=native.OUT,
                env={**project.settings.service.env, **native.variables(target)},
                platform=target.platform,
                workdir=_APP,
                user="0",
            )
        if ran.code:
            output = (ran.stdout + ran.stderr).decode(errors="replace").strip()
            raise ProjectError("[build] run failed", "mend the command, or what it needs", output)
        return _kept(ran.taken, temporary / "taken")


def _expression(pattern: str) -> str:
    """A pattern of cdaf.toml as a regular expression; a folder's name alone stands for all below it."""
    return f"{patterns.compiled(pattern).pattern}|{re.escape(pattern.rstrip('/'))}/.*"


def _kept(data: bytes, into: Path) -> tuple[Output, ...]:
    failure = "what [build] run left cannot be taken"
    with tree.sound(failure, "change the command"), tarfile.open(fileobj=io.BytesIO(data)) as taken:
        tree.untar(taken, into)
    found, below = [], into / Path(native.OUT).name
    for path in sorted(each for each in below.rglob("*") if each.is_file()):
        with path.open("rb") as file:
            sha256, _ = store.put(KIND, iter(functools.partial(file.read, 1 << 20), b""))
        found.append(Output(path.relative_to(below).as_posix(), sha256, bool(path.stat().st_mode & 0o100)))
    return tuple(found)


def _demand_all(project: Project, known: Sequence[Output]) -> None:
    names = [each.name for each in known]
    wrong = [
        f"{pattern!r} matches nothing that the commands made"
        for pattern in project.settings.build.outputs
        if not patterns.matching(pattern, names)
    ]
    wrong += [f"{name!r} has a control character in its name" for name in names if re.search(r"[\x00-\x1f\x7f]", name)]
    if wrong:
        raise ProjectError(faults("build.outputs", wrong), "change the pattern or the command")
