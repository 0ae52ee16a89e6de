"""Where a Node project's [build] commands run: its development dependencies as a tree of node_modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cdaf.images.content import Content
from cdaf.images.plan import Entry
from cdaf.languages._node import collect, layout, plan, resolve
from cdaf.languages._node.values import FOLDER, MODULES, Target
from cdaf.languages._shared import commands, container, tree
from cdaf.languages._shared.commands import Output, Workshop
from cdaf.projects.pins import Pins
from cdaf.projects.project import Project


def outputs(project: Project, pins: Pins) -> tuple[Output, ...]:
    """What the commands made, nothing where there are none."""
    if not project.settings.build.run:
        return ()
    base, places = container.image(project, pins), resolve.places(project)
    target = Target(base.platform, base)
    chosen = resolve.tools(project, target)

    def lay() -> tuple[Sequence[Entry], Mapping[str, Content]]:
        own = frozenset(f"{FOLDER}/{leaf.name}" for leaf in tree.tracked(project.root))
        held = collect.obtain(project, chosen.choices)
        spread = layout.spreads(held, chosen.aliases, places, taken=own)
        return layout.whole(spread, chosen.aliases, places)

    # The lock's hashes say which bytes these are: unless the commands have to run, none of them is needed.
    digests = tuple(sorted(f"{each.path} {collect.identity(project, each)}" for each in chosen.choices))
    told = {**plan.environment(places), "NODE_ENV": "development", "CI": "true"}
    return commands.outputs(project, Workshop(target.base, digests, lay, told, (MODULES,)))
