"""Where a PHP project's [build] commands run: its developer's packages laid out in vendor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cdaf import languages
from cdaf.images.content import Content, of_bytes, of_file
from cdaf.images.plan import Entry
from cdaf.languages._php import collect, fetching, generate, lockfile, resolve, spread
from cdaf.languages._shared import commands, container
from cdaf.languages._shared.commands import Output, Workshop
from cdaf.languages._shared.frame import Generated
from cdaf.projects.project import Project


def outputs(project: Project, collection: languages.Collection) -> tuple[Output, ...]:
    """What the commands made, nothing where there are none."""
    if not project.settings.build.run:
        return ()
    packages = [each for each in resolve.of(collection.lock) if each.kind != "meta"]
    held = fetching.obtain(project, packages, collection.lock.pins.archives)
    spreads = [collect.spread(project, each, held[each.name]) for each in packages]
    image = container.image(project, collection.lock.pins)

    def lay() -> tuple[Sequence[Entry], Mapping[str, Content]]:
        generated: Generated = {}
        names = tuple(sorted(each.package.name for each in spreads))
        php = generate.php(project, collection.lock.pins)
        chosen = generate.Set(names, tuple(spreads), True, php)
        made = generate.outputs(project, collection.lock.pins, lockfile.read(project.root), chosen)
        places, contents = generate.places(made)
        entries = [entry for each in spreads for entry in spread.entries(each, generated)]
        named = ((each.archive.dependency, each.archive.path) for each in spreads)
        archives = {told.archive: of_file(path, told.sha256) for told, path in named}
        small = {name: of_bytes(data) for name, data in generated.items()}
        return [*entries, *places], {**archives, **contents, **small}

    digests = (generate.identity(project, collection.lock.pins), *sorted(each.sha256 for each in held.values()))
    told = lockfile.read(project.root)
    return commands.outputs(project, Workshop(image, (*digests, told.digest), lay, {}, ("vendor",)))
