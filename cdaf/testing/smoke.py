"""The smoke test: the image, by its id, beside its sidecars, tried from outside; one platform after the other."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cdaf import engine, progress
from cdaf.bundles.bundle import Bundle
from cdaf.engine import EngineFacts, EngineGone
from cdaf.errors import CdafError, EngineError, SmokeError
from cdaf.images import building, sealed
from cdaf.images.oci import Image
from cdaf.reports import report
from cdaf.testing import checks as smoke_checks
from cdaf.testing import journal as smoke_journal
from cdaf.testing import masking, readable, watch
from cdaf.testing.compose_file import SERVICE
from cdaf.testing.journal import Journal
from cdaf.testing.outcome import PlatformResult, PlatformState, SmokeReport
from cdaf.testing.stand import Plan, Stand, gather, standing

__all__ = ["PlatformResult", "SmokeReport", "test", "up"]

ChecksOf = Callable[[Image], Image | None]
_PACE = 1.0  # seconds between two looks at a service that is up


def test(
    bundle: Bundle,
    images: Sequence[Image],
    reports: Path | None = None,
    *,
    keep: bool = False,
    checks: ChecksOf | None = None,
    enter: Callable[[SmokeReport], None] = lambda _: None,
) -> SmokeReport:
    """Test the image of every platform that runs here; by default the report lies beside the bundle.

    `checks` makes the image that the checks run in, by default from the bundle. Raises SmokeError when the image does
    not work, EngineError when the engine does not; in both cases the report is written first, and handed to `enter`.
    """
    facts = engine.facts()
    secrets = masking.bind(bundle.manifest.smoke.declared.secrets, os.environ)
    engine.clear_leftovers()
    results: list[PlatformResult] = []
    failure: CdafError | None = None
    for image in images:
        if failure is not None or not facts.runs(image.platform):
            results.append(_not_run(image, facts, failure))
            continue
        result, failure = _platform(bundle, image, facts, secrets, keep=keep, checks=checks or _checks_of(bundle))
        results.append(result)
    folder = reports or bundle.path.with_suffix(".smoke")
    service = bundle.manifest.service
    found = SmokeReport(service.name, service.version, bundle.identity, tuple(results), folder)
    report.write(found)
    enter(found)
    progress.note(f"report: {folder / report.HTML}")
    if failure is not None:
        raise failure
    return found


def _not_run(image: Image, facts: EngineFacts, failure: CdafError | None) -> PlatformResult:
    why = f"{image.platform} does not run on this engine, which is {facts.native}"
    if failure is not None:
        why = "another platform failed before"
    return PlatformResult(image.platform, "not run", image.digest, failure=why)


def _checks_of(bundle: Bundle) -> ChecksOf:
    """How the bundle itself makes the checks' image: its smoke plan on top of the tested one."""

    def made(tested: Image) -> Image | None:
        return building.checks(bundle, tested) if bundle.manifest.smoke.declared.checks else None

    return made


def _platform(
    bundle: Bundle, image: Image, facts: EngineFacts, secrets: dict[str, str], *, keep: bool, checks: ChecksOf
) -> tuple[PlatformResult, CdafError | None]:
    """Test one platform; the error is what ended it, already without secrets."""
    journal = Journal(facts.ahead)
    failure: CdafError | None = None
    stand: Stand | None = None
    try:
        with smoke_journal.step(journal, "load"):
            plan = _loaded(bundle, image, secrets, keep=keep, checks=checks)
        with standing(plan, facts, journal) as stand:
            try:
                _course(stand)
            finally:
                with suppress(EngineError):
                    gather(stand)
    except EngineGone as error:
        failure = EngineError(f"the engine went away during the smoke test: {error.message}", error.hint, error.output)
    except CdafError as error:
        failure = error
    mask = masking.mask(secrets.values())
    if failure is not None:
        masking.error(failure, mask)
    return _result(image, facts, journal, stand, failure), failure


def _loaded(bundle: Bundle, image: Image, secrets: dict[str, str], *, keep: bool, checks: ChecksOf) -> Plan:
    checking = checks(image)
    if checking is None and bundle.manifest.smoke.declared.checks:
        raise SmokeError(f"the bundle has no plan of the checks for {image.platform}", "package the service again")
    service, checked = engine.load(image), sealed.runtime(image.config).checked
    beside = engine.load(checking) if checking else ""
    return Plan(bundle, service, beside, image.platform, secrets, keep, checked=checked)


def _course(stand: Stand) -> None:
    """The order of a test."""
    declared, journal = stand.declared, stand.journal
    _stand_up(stand)
    rounds = (1, 2) if declared.restart else (1,)
    for number in rounds if declared.checks else ():
        if number > 1:
            with smoke_journal.step(journal, "restart"):
                _restart(stand)
        with smoke_journal.step(journal, f"checks, round {number}" if declared.restart else "checks"):
            smoke_checks.run(stand, number)
    states = engine.states(stand.run)
    watch.judge_sidecars(stand, states)
    watch.judge_service(stand, watch.the_service(stand, states), "after the checks")


def _stand_up(stand: Stand) -> None:
    """Sidecars, the commands that come first, the service, and what stands in front of it."""
    first, last = stand.levels
    journal = stand.journal
    for level in first:
        with smoke_journal.step(journal, f"sidecars: {', '.join(level)}"):
            engine.up(stand.project, level)
            watch.sidecars_ready(stand, level)
    for number, command in enumerate(stand.declared.before):
        with smoke_journal.step(journal, f"before: {' '.join(command)}"):
            smoke_checks.before(stand, number)
    with smoke_journal.step(journal, "service"):
        engine.up(stand.project, [SERVICE], f"mend {watch.start_of(stand)}: the image must have the program")
        watch.service_ready(stand)
    for level in last:
        with smoke_journal.step(journal, f"sidecars: {', '.join(level)}"):
            engine.up(stand.project, level)
            watch.sidecars_ready(stand, level)


def _restart(stand: Stand) -> None:
    state = watch.the_service(stand, engine.states(stand.run))
    if state is not None:
        stand.journal.stopped.add(state.name)
        if engine.restart(state.id) >= engine.STOP_SECONDS:
            progress.warn(f"the service ignores SIGTERM: it was killed after {engine.STOP_SECONDS} s")
    watch.service_ready(stand)


def _result(
    image: Image, facts: EngineFacts, journal: Journal, stand: Stand | None, failure: CdafError | None
) -> PlatformResult:
    state: PlatformState = "passed" if facts.runs(image.platform) == "native" else "emulated"
    titles = {} if stand is None else {**stand.stack.titles, **stand.commands}
    logs = {name: f"{report.LOGS}/{report.slug(image.platform)}/{name}.log" for name in journal.logs}
    return PlatformResult(
        platform=image.platform,
        state=state if failure is None else "failed",
        digest=image.digest,
        began=datetime.fromtimestamp(journal.began, UTC).isoformat(timespec="milliseconds")[:23] + "Z",
        seconds=smoke_journal.now(journal),
        failure=failure.message if failure else "",
        hint=failure.hint if failure else "",
        steps=tuple(journal.steps),
        lanes=smoke_journal.lanes(journal, stand.events if stand else (), titles, logs),
        checks=tuple(journal.checks),
        logs=journal.logs,
    )


def up(bundle: Bundle, images: Sequence[Image], announce: Callable[[str], None]) -> None:
    """Run the service with its sidecars until Ctrl-C or SIGTERM; its log goes to progress.

    `announce` gets the service's URL, or its container's name when it has no port. Raises SmokeError when the
    service ends by itself.
    """
    facts = engine.facts()
    secrets = masking.bind(bundle.manifest.smoke.declared.secrets, os.environ)
    image = next((each for each in images if facts.runs(each.platform) == "native"), None)
    if image is None:
        raise EngineError(f"the bundle has no image for {facts.native}", "package it with --platform for this engine")
    engine.clear_leftovers()
    journal = Journal(facts.ahead)
    checked = sealed.runtime(image.config).checked
    plan = Plan(bundle, engine.load(image), "", image.platform, secrets, lasting=True, checked=checked)
    try:
        with standing(plan, facts, journal) as stand:
            _stand_up(stand)
            _serve(stand, announce)
    except KeyboardInterrupt:
        progress.note("stopped")
    except CdafError as error:
        raise masking.error(error, masking.mask(secrets.values())) from None


def _serve(stand: Stand, announce: Callable[[str], None]) -> None:
    state = watch.the_service(stand, engine.states(stand.run))
    if state is None:
        raise SmokeError("the service's container is gone", "somebody has removed it")
    threading.Thread(target=_follow, args=(stand, state.id), daemon=True).start()
    port = stand.manifest.service.port
    announce(f"http://{stand.host}:{state.ports[f'{port}/tcp']}" if port else state.name)
    while True:
        states = engine.states(stand.run)
        watch.judge_sidecars(stand, states)
        watch.judge_service(stand, watch.the_service(stand, states), "by itself")
        time.sleep(_PACE)


def _follow(stand: Stand, container: str) -> None:
    with suppress(CdafError):
        for line in engine.log(container, follow=True):
            progress.note(stand.mask(readable.plain(line.text)))
