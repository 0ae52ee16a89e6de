"""A stand: one compose project with the service, its checks and its sidecars, taken down in every case."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from cdaf import engine, progress
from cdaf.bundles import bundle as bundles
from cdaf.bundles.bundle import Bundle
from cdaf.bundles.manifest import Manifest
from cdaf.engine import EngineFacts, Event, State
from cdaf.errors import CdafError, EngineError
from cdaf.settings import settings
from cdaf.testing import journal as smoke_journal
from cdaf.testing import masking, order, readable, stack
from cdaf.testing.compose_file import SERVICE
from cdaf.testing.journal import Journal
from cdaf.testing.masking import Mask
from cdaf.testing.outcome import Said
from cdaf.testing.stack import Binding, Stack

TAIL, _WIDEST = 40, 2000
_HURRY, _PATIENCE = 0.05, 0.5  # seconds until a last look; an interrupted client may have left the engine at work
_LONGEST_LOG = 50_000  # lines of one container's log that are kept, the last ones
_LARGEST_LOG = 8 << 20  # characters of them


class Stand(msgspec.Struct, frozen=True):
    """What stands and is being tested; `commands` are the titles of single containers, by name."""

    manifest: Manifest
    run: str
    host: str
    project: engine.Project
    stack: Stack
    levels: tuple[list[list[str]], list[list[str]]]
    mask: Mask
    journal: Journal
    events: list[Event]
    commands: dict[str, str]

    @property
    def declared(self) -> settings.Smoke:
        """The smoke test as the service declares it."""
        return self.manifest.smoke.declared

    def title(self, service: str) -> str:
        """What people call a service: the image as it was declared."""
        return self.stack.titles.get(service, service)


class Plan(msgspec.Struct, frozen=True):
    """What to stand up: a bundle's images by their ids in the engine; `checks` is empty when there are none.

    `checked` when the service's image has a health check of its own.
    """

    bundle: Bundle
    service: str
    checks: str
    platform: str
    secrets: dict[str, str]
    keep: bool = False
    lasting: bool = False  # up for people, not for a test
    checked: bool = False


@contextmanager
def standing(plan: Plan, facts: EngineFacts, journal: Journal) -> Iterator[Stand]:
    """Prepare a stand; nothing of it runs yet. All that it creates is gone at the end, unless the plan keeps it."""
    manifest, run = plan.bundle.manifest, engine.new_run()
    name = f"cdaf-{manifest.service.name.replace('.', '-')}-{run}"
    composed = {member: bundles.data(plan.bundle, member) for member in manifest.smoke.compose}
    stack.demand(manifest, composed)
    with smoke_journal.step(journal, "sidecar images"):
        pinned = {each.reference: engine.ensure(each.reference, each.digest) for each in manifest.smoke.sidecars}
    bound = Binding(
        run=run,
        labels=engine.labels(run, keep=plan.keep),
        service=plan.service,
        checks=plan.checks,
        images=pinned,
        publish="127.0.0.1" if facts.host == "127.0.0.1" else "",
        platform=plan.platform if facts.runs(plan.platform) == "emulated" else "",
        checked=plan.checked,
        lasting=plan.lasting,
        logging=facts.logging,
    )
    assembled = stack.assemble(manifest, composed, bound)
    pause = _HURRY
    try:
        with engine.project(name, assembled.files) as project, engine.events(run) as events:
            levels = order.levels(engine.config(project))
            mask = masking.mask(plan.secrets.values())
            yield Stand(manifest, run, facts.host, project, assembled, levels, mask, journal, events, {})
    except (KeyboardInterrupt, EngineError):
        pause = _PATIENCE
        raise
    finally:
        if not plan.keep:
            _take_down(run, pause)
        else:
            _leave(name, run, facts.host, manifest.service.port)


def _leave(name: str, run: str, host: str, port: int | None) -> None:
    """Say where a service that is left standing answers, and what removes it."""
    with suppress(EngineError):
        running = [each for each in engine.states(run) if each.service == SERVICE and each.status == "running"]
        for outer in filter(None, (each.ports.get(f"{port}/tcp") for each in running)):
            progress.note(f"the service answers at http://{host}:{outer}")
    progress.note(f"the stack is left standing; remove it with: {engine.removal(name)}")


def _take_down(run: str, pause: float = _HURRY) -> None:
    """Remove everything, whatever went before; what cannot be removed is said, and does not hide the first error."""
    with engine.undisturbed():
        try:
            left = engine.sweep(run, pause)
        except EngineError as error:
            left = [error.message]
        if left:
            progress.warn(
                f"teardown failed: {'; '.join(left)}; "
                f"a later smoke test removes it, or list it with: docker ps -a --filter label=io.cdaf.run={run}"
            )


def tail(stand: Stand, state: State | None) -> str:
    """The end of a container's log, without secrets; empty when it cannot be had."""
    if state is None:
        return ""
    try:
        lines = list(engine.log(state.id, tail=TAIL))
    except CdafError as error:
        return f"(its log cannot be read: {error.message})"
    said = stand.mask("\n".join(readable.plain(line.text) for line in lines))
    return "\n".join(line if len(line) <= _WIDEST else f"{line[:_WIDEST]}…" for line in said.split("\n"))


def gather(stand: Stand) -> None:
    """Take every container's log into the journal, without secrets."""
    for state in engine.states(stand.run):
        said = (
            Said(smoke_journal.of_engine(stand.journal, line.at), readable.plain(line.text))
            for line in engine.log(state.id, tail=_LONGEST_LOG)
        )
        stand.journal.logs[state.name] = _masked(_last(said), stand.mask)


def _last(lines: Iterable[Said]) -> list[Said]:
    """The end of a log, as much as fits; a container may have said more than this machine has memory."""
    kept: deque[Said] = deque()
    size = 0
    for line in lines:
        kept.append(line)
        size += len(line.text)
        while size > _LARGEST_LOG and len(kept) > 1:
            size -= len(kept.popleft().text)
    return list(kept)


def _masked(lines: list[Said], mask: Mask) -> tuple[Said, ...]:
    """Masked as one text, for a secret may be of several lines."""
    whole = "\n".join(line.text for line in lines)
    masked = mask(whole)
    if masked == whole:
        return tuple(lines)
    texts = masked.split("\n")
    if len(texts) == len(lines):
        return tuple(Said(line.at, text) for line, text in zip(lines, texts, strict=True))
    return tuple(Said(line.at, mask(line.text)) for line in lines)
