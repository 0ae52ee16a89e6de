"""[build]: the project's own commands, in a container without network, with a developer's packages beside them."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from cdaf import progress, store
from cdaf.errors import ProjectError, faults
from cdaf.images.content import Content
from cdaf.images.plan import Entry, Place
from cdaf.languages._shared import container, frame, memo, tree
from cdaf.languages._shared.frame import Generated
from cdaf.languages._shared.tree import Leaf
from cdaf.net.fetch import KIND
from cdaf.projects import patterns, pins
from cdaf.projects.pins import Base
from cdaf.projects.project import Project
from cdaf.settings import config
from cdaf.settings.settings import Command


class Output(msgspec.Struct, frozen=True):
    """A file that the commands made: `name` is below /app, the bytes are in the store."""

    name: str
    sha256: str
    executable: bool

    @property
    def path(self) -> Path:
        """Where its bytes lie."""
        return store.path(KIND, self.sha256)


class Workshop(msgspec.Struct, frozen=True):
    """Where commands run: the image, and a developer's packages laid out in it.

    `identity` are the digests of those packages; `lay` says where they stand and with which bytes; `aside` are the
    folders below /app that are theirs, and of which nothing is brought back.
    """

    image: Base
    identity: tuple[str, ...]
    lay: Callable[[], tuple[Sequence[Entry], Mapping[str, Content]]]
    environment: dict[str, str]
    aside: tuple[str, ...]


def outputs(project: Project, workshop: Workshop) -> tuple[Output, ...]:
    """What [build] outputs names, made now or by an earlier run of the same commands on the same files.

    Raises ProjectError when a command fails or a pattern matches nothing it made, ResolveError when the platform does
    not run here.
    """
    # Ours say what enters where; a build that could read them would run again for each new pin.
    leaves = tree.read(each for each in tree.tracked(project.root) if each.name not in (config.NAME, pins.NAME))
    settings, image = project.settings.build, workshop.image
    told = msgspec.json.encode([settings, image.digest, workshop.environment, project.settings.service.env])
    name = memo.key("commands", tree.digest(leaves), told, *workshop.identity)
    known = memo.load(name, tuple[Output, ...])
    if known is None or not all(store.checked(KIND, each.sha256) for each in known):
        with progress.step("running [build] commands"):
            known = _run(project, workshop, leaves)
        memo.save(name, known)
    _demand_all(project, known)
    return known


def places(made: Sequence[Output], generated: Generated) -> dict[str, Place]:
    """Where outputs stand in the image, by name; each goes before a tracked file of the same name."""
    found = {}
    for each in made:
        member = frame.generate(generated, f"build/{each.name}", each.path.read_bytes(), "build")
        found[each.name] = Place(member, f"{frame.FOLDER}/{each.name}", 0o755 if each.executable else 0o644)
    return found


def _run(project: Project, workshop: Workshop, leaves: Sequence[Leaf]) -> tuple[Output, ...]:
    settings = project.settings.build
    container.demand_here(workshop.image.platform, "[build] needs", "package where it runs")
    ran = container.run(
        workshop.image,
        ["/bin/sh", "-c", script(settings.run, workshop.aside)],
        *workshop.lay(),
        folder=frame.FOLDER,
        env={**project.settings.service.env, **container.VARIABLES, **workshop.environment},
        leaves=leaves,
    )
    if ran.code:
        raise ProjectError("[build] run failed", "mend the command, or what it needs", ran.output)
    wanted = [re.compile(_expression(each)) for each in settings.outputs]
    failure = "what [build] run left cannot be taken"
    with tree.taken(ran.taken, container.OUT, failure, "change the command") as found:
        return tuple(kept(name, path) for name, path in found if any(each.fullmatch(name) for each in wanted))


def kept(name: str, path: Path) -> Output:
    """A file that commands made, in the store."""
    with path.open("rb") as file:
        sha256, _ = store.put(KIND, iter(functools.partial(file.read, 1 << 20), b""))
    return Output(name, sha256, bool(path.stat().st_mode & 0o100))


def script(run: Sequence[Command], aside: Sequence[str]) -> str:
    """POSIX shell that runs the commands in turn and copies the files below the folder to what is brought back."""
    lines = []
    for words in map(shlex.join, run):
        said = shlex.quote(f"+ {words}")
        lines += [f"echo {said}", f'{words} </dev/null || {{ code=$?; echo "ended with $code"; exit "$code"; }}']
    passed = " -o ".join(f"-path {shlex.quote(f'./{each}')}" for each in aside)
    copying = f'for each; do mkdir -p "{container.OUT}/${{each%/*}}" && cp "$each" "{container.OUT}/$each"; done'
    prune = f"\\( {passed} \\) -prune -o " if passed else ""
    lines.append(f"find . {prune}-type f -exec sh -c {shlex.quote(copying)} sh {{}} +")
    return "\n".join(lines)


def _expression(pattern: str) -> str:
    """A pattern of cdaf.toml as a regular expression; a folder's name alone stands for all below it."""
    return f"(?s:{patterns.compiled(pattern).pattern}|{re.escape(pattern.rstrip('/'))}/.*)"


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
