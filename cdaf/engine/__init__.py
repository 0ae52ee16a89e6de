"""The one door to Docker: what runs containers and builds, asked only for what nothing else can do.

python-on-whales drives compose and pull, builds start the client themselves; the docker SDK gives facts, inspection,
events and logs. Both are imported when first needed.
"""

from cdaf.engine.about import EngineFacts, demand_buildx, facts, native, runs
from cdaf.engine.builds import Build, built, clear_built
from cdaf.engine.client import EngineGone, binary, endpoint
from cdaf.engine.compose import STOP_SECONDS, Project, config, one_off, project, removal, restart, up
from cdaf.engine.containers import (
    Line,
    Listener,
    Ran,
    State,
    execute,
    listening,
    log,
    run,
    seconds,
    signal,
    states,
    take,
)
from cdaf.engine.images import ensure, held, inspect, load, names, tag
from cdaf.engine.owner import Left, clear_leftovers, labels, leftovers, new_run, remove, sweep, undisturbed
from cdaf.engine.saving import save
from cdaf.engine.watching import Event, events

__all__ = [
    "STOP_SECONDS",
    "Build",
    "EngineFacts",
    "EngineGone",
    "Event",
    "Left",
    "Line",
    "Listener",
    "Project",
    "Ran",
    "State",
    "binary",
    "built",
    "clear_built",
    "clear_leftovers",
    "config",
    "demand_buildx",
    "endpoint",
    "ensure",
    "events",
    "execute",
    "facts",
    "held",
    "inspect",
    "labels",
    "leftovers",
    "listening",
    "load",
    "log",
    "names",
    "native",
    "new_run",
    "one_off",
    "project",
    "removal",
    "remove",
    "restart",
    "run",
    "runs",
    "save",
    "seconds",
    "signal",
    "states",
    "sweep",
    "tag",
    "take",
    "undisturbed",
    "up",
]
