"""In which order what stands beside a service starts."""

from collections.abc import Mapping
from typing import Any

from cdaf.testing.compose_file import CHECKS, SERVICE


def levels(config: Mapping[str, Any]) -> tuple[list[list[str]], list[list[str]]]:
    """The order in which sidecars start: sets whose members wait for nobody in the same set or a later one.

    The first list comes before the service, the second, what depends on it, after. `config` is compose's own reading.
    """
    waits = {
        name: set(each.get("depends_on") or {}) for name, each in config["services"].items() if name not in (CHECKS,)
    }
    placed: list[set[str]] = []
    done: set[str] = set()
    while len(done) < len(waits):
        ready = {name for name, on in waits.items() if name not in done and not (on & waits.keys()) - done - {name}}
        ready = ready or waits.keys() - done
        placed.append(ready)
        done |= ready
    after = _after(waits)
    before_service = [sorted(each - after - {SERVICE}) for each in placed]
    behind_service = [sorted(each & after) for each in placed]
    return [each for each in before_service if each], [each for each in behind_service if each]


def _after(waits: Mapping[str, set[str]]) -> set[str]:
    """Services that depend on the tested one, directly or through others."""
    after: set[str] = set()
    while more := {name for name, on in waits.items() if on & (after | {SERVICE})} - after - {SERVICE}:
        after |= more
    return after
