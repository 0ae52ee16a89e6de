"""Where a Python project's [build] commands run: its developer's packages as a virtual environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cdaf.images.content import Content, of_bytes
from cdaf.images.plan import Entry
from cdaf.languages._python import collect, content, native, resolve
from cdaf.languages._python.values import Target
from cdaf.languages._shared import commands, container
from cdaf.languages._shared.commands import Output, Workshop
from cdaf.languages._shared.frame import Generated
from cdaf.projects.pins import Pins
from cdaf.projects.project import Project


def outputs(project: Project, pins: Pins) -> tuple[Output, ...]:
    """What the commands made, nothing where there are none."""
    if not project.settings.build.run:
        return ()
    base = container.image(project, pins)
    target = Target(platform=base.platform, base=base)
    choices = resolve.tools(project, target)
    archives = collect.obtain(project, pins, choices, (target,))

    def lay() -> tuple[Sequence[Entry], Mapping[str, Content]]:
        generated: Generated = {}
        spread = content.spreads(project.root, choices, archives, target)
        entries, held = native.layout(spread, target, generated)
        return entries, {**held, **{name: of_bytes(data) for name, data in generated.items()}}

    digests = tuple(sorted(each.dependency.sha256 for each in archives))
    return commands.outputs(project, Workshop(target.base, digests, lay, native.variables(target), (".venv",)))
