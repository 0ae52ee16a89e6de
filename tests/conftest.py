"""Servers for tests: a Docker engine, container registries, a package index; all real, all on loopback.

Tests marked `docker` get the engine without asking for it. Where it is missing it is brought up (tools/), and where
that can't be done the test fails and says why: nothing is skipped.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cdaf.net import pool
from tools import fresh, machine, serve, state
from tools.engine import Engine

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background jobs ignore Ctrl-C, and so would every program that a test starts only to interrupt it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where writing bytecode is forbidden, every worker of every run would rewrite the assertions of all tests anew.
sys.dont_write_bytecode = False

# Nothing here is judged by the clock; CI looks at four times as many inputs as one who waits for the answer.
hypothesis.settings.register_profile("cdaf", deadline=None, max_examples=100 if os.environ.get("CI") else 25)
hypothesis.settings.load_profile("cdaf")
Server = TypeVar("Server")
USED: set[str] = set()
BEFORE = pytest.StashKey[AbstractSet[str]]()
RUN_LABEL = "io.cdaf.run"
KINDS = {"container": ["ps", "-a"], "network": ["network", "ls"], "volume": ["volume", "ls"]}
OWNER_LABEL = "io.cdaf.owner"  # ends in the process id of the run and when that started


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker engine that answers, with the environment that leads to it; brought up if there is none."""
    with _plainly():
        found = machine.up()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in machine.environment().items():
            patch.setenv(name, value)
        yield found


@pytest.fixture(autouse=True)
def _engine_where_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the engine to every test marked `docker`; every other packages without what only an engine can make."""
    if request.node.get_closest_marker("docker"):
        request.getfixturevalue("engine")
    else:
        monkeypatch.setenv("CDAF_IMAGE_BYTECODE", "false")


@pytest.fixture(autouse=True)
def _connections_of_its_own() -> Iterator[None]:
    """A server that the next test starts may get the port of this one's, and a kept connection still leads to that."""
    yield
    pool._hang_up()


@pytest.fixture(scope="session")
def mirror(engine: Engine) -> str:
    """The registry that serves `library/python:3.13-slim` and the like: `127.0.0.1:PORT`, or `docker.io`."""
    return machine.environment().get("CDAF_TOOLS_MIRROR", "docker.io")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, engine: Engine, worker_id: str) -> Iterator[Path]:
    """A folder that all workers of a run share; within it a cache that starts empty, for what is packaged once."""
    del engine
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "shared"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDAF_CACHE", str(folder / "cache"))
        yield folder


RegistryFactory = Callable[..., serve.Registry]
IndexFactory = Callable[..., serve.PackageIndex]


@pytest.fixture
def registry_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryFactory]:
    """Start registries: `registry_factory(user="u", password="p", read_only=False, folder=None, port=0)`."""
    with ExitStack() as stack:

        def start(folder: Path | None = None, **how: Any) -> serve.Registry:
            place = folder or tmp_path_factory.mktemp("registry")
            return _enter(stack, serve.serving(place, **how))

        yield start


@pytest.fixture
def registry(registry_factory: RegistryFactory) -> serve.Registry:
    """An empty container registry without login."""
    return registry_factory()


@pytest.fixture
def fresh_engine(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Turn to an engine that has never seen anything, `fresh_engine(containerd=False)`; the one before it ends."""
    del engine
    with ExitStack() as stack:

        def turn(**how: bool) -> None:
            stack.close()
            for name, value in _enter(stack, fresh.started(**how)).items():
                monkeypatch.setenv(name, value)

        yield turn


@pytest.fixture(scope="module")
def module_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[serve.Registry]:
    """A container registry that the tests of one module share."""
    with ExitStack() as stack:
        yield _enter(stack, serve.serving(tmp_path_factory.mktemp("registry")))


@pytest.fixture
def package_index_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexFactory]:
    """Start package indexes: `package_index_factory(user="u", password="p")`."""
    with ExitStack() as stack:

        def start(**how: Any) -> serve.PackageIndex:
            return _enter(stack, serve.index(tmp_path_factory.mktemp("index"), **how))

        yield start


@pytest.fixture
def package_index(package_index_factory: IndexFactory) -> serve.PackageIndex:
    """An empty package index that takes uploads from anybody and overwrites nothing."""
    return package_index_factory()


@pytest.fixture
def free_port() -> int:
    """A loopback TCP port that nobody listens on."""
    return state.free_port()


def _enter(stack: ExitStack, server: AbstractContextManager[Server]) -> Server:
    with _plainly():
        return stack.enter_context(server)


class _plainly:
    """Turn a ToolError into a plain failure: its message is written for people, a traceback adds nothing."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, state.ToolError):
            pytest.fail(f"{error.output}\nerror: {error}\nhint: {error.hint}", pytrace=False)


# What a run of cdaf created, it removes: nothing with its label may be left when all tests are over.


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember what was there before, of other people's runs."""
    if _controls(session):
        session.config.stash[BEFORE] = _labelled()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note that a test has used the engine."""
    if "docker" in report.keywords:
        USED.add("engine")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run when containers, networks or volumes of cdaf's are left."""
    if not _controls(session) or not USED:
        return
    before: AbstractSet[str] = session.config.stash[BEFORE]
    left = sorted(_labelled() - before)
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if left and reporter:
        text = f"left behind, with the label {RUN_LABEL}: {', '.join(left)}"
        place = ("tests/conftest.py", 0, "nothing left behind")
        report = pytest.TestReport("nothing left behind", place, {}, "failed", text, "teardown")
        reporter.stats.setdefault("error", []).append(report)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _controls(session: pytest.Session) -> bool:
    return not hasattr(session.config, "workerinput")


def _labelled() -> frozenset[str]:
    """Everything in a running engine that bears cdaf's label; empty without an engine.

    What a living process that is none of ours has made is its own affair: several may use one engine.
    """
    env = os.environ | machine.environment()
    found: set[str] = set()
    for kind, command in KINDS.items():
        name = "{{.Name}}" if kind == "volume" else "{{.ID}}"
        shown = ["--filter", f"label={RUN_LABEL}", "--format", f'{name} {{{{.Label "{OWNER_LABEL}"}}}}']
        for line in (state.answers(["docker", *command, *shown], env) or "").splitlines():
            named, _, owner = line.partition(" ")
            if not _of_another(owner):
                found.add(f"{kind} {named}")
    return frozenset(found)


def _of_another(owner: str) -> bool:
    """Whether an owner is alive, and not this process or one that it started."""
    pid = owner.split("/")[-2] if owner.count("/") > 1 else ""
    alive = False
    while pid.isdecimal() and int(pid) > 1:
        if int(pid) == os.getpid():
            return False
        try:
            pid, alive = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1], True
        except OSError:
            return False
    return bool(pid) and alive
