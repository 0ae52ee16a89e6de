"""Where a Ruby project's [build] commands run: the gems of every group, laid out for Bundler."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from cdaf.images.content import Content, of_bytes
from cdaf.images.plan import Entry, Place, Unpack
from cdaf.languages._ruby import collect, content, native, resolve, service
from cdaf.languages._ruby.content import Spread
from cdaf.languages._ruby.native import Bench
from cdaf.languages._ruby.values import BUNDLE, Target
from cdaf.languages._shared import commands, container, frame, tree
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
    parts = collect.again(project, resolve.tools(project, target, pins), target)

    def lay() -> tuple[Sequence[Entry], Mapping[str, Content]]:
        generated: Generated = {}
        held: dict[str, Content] = {}
        place = Bench(target, target.base)
        built = native.built(place, parts)
        spread = content.first_of_archives(
            [
                Spread(part, built.get(name), specs=collect.evaluated(part, place))
                for name, part in sorted(parts.items())
            ]
        )
        owners = content.commands(spread)
        laid: list[Entry] = service.entries(project, resolve.read(project), (), generated)
        laid += [entry for each in spread for entry in content.entries(each, target, owners, generated, held)]
        laid = _beside(project, laid)
        held |= {part.archive: native.archive(part) for part in parts.values()}
        return laid, {**held, **{name: of_bytes(data) for name, data in generated.items()}}

    digests = tuple(sorted(part.sha256 for part in parts.values()))
    return commands.outputs(project, Workshop(target.base, digests, lay, service.ENVIRONMENT, (BUNDLE, ".bundle")))


def _beside(project: Project, laid: Sequence[Entry]) -> list[Entry]:
    """The entries without what the commands find in the service's own tree, which is all there."""
    own = {f"{frame.FOLDER}/{leaf.name}" for leaf in tree.tracked(project.root)}
    folders = {posixpath.dirname(path) for path in own}
    return [
        entry
        for entry in laid
        if not (isinstance(entry, Place) and entry.path in own)
        and not (isinstance(entry, Unpack) and (entry.prefix in folders or entry.prefix == frame.FOLDER))
    ]
