"""What every case is given, and what several of them do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import measure, service
from benchmarks.measure import Sample
from benchmarks.service import Programs, Service
from tools import serve
from tools.serve import Registry

ONE = "linux/amd64"
CHANGED = "src/orders/web.py"
SYNC = "uv sync --frozen"
BUILDX = "buildx build + push"


@dataclass(frozen=True, slots=True)
class Bench:
    """What every case needs: how often to run, where to work, the programs, the environment, the services."""

    runs: int
    work: Path
    programs: Programs
    env: dict[str, str]
    orders: Service

    def cdaf(self, cache: Path, *arguments: str, root: Path | None = None, bytecode: bool = True) -> Sample:
        """`cdaf` in a service's folder."""
        told = {"CDAF_CACHE": str(cache), "CDAF_IMAGE_BYTECODE": str(bytecode).lower()}
        return measure.run([self.programs.named("cdaf"), *arguments], self.env | told, root or self.orders.root)

    def package(self, cache: Path, *arguments: str, bytecode: bool = True) -> tuple[Sample, Path]:
        """`cdaf package` of orders, and the bundle."""
        done = self.cdaf(cache, "package", *arguments, bytecode=bytecode)
        return done, self.orders.root / done.stdout

    def publish(self, cache: Path, file: Path, registry: str, *platforms: str, note: Path | None = None) -> Sample:
        """A bundle into a registry; its own peak memory, in bytes, goes to `note`."""
        script = str(Path(__file__).with_name("publish.py"))
        command = [self.programs.named("python"), "-I", script, str(file), f"registry:{registry}/team/orders"]
        told = {"CDAF_CACHE": str(cache), **({"BENCHMARKS_PEAK": str(note)} if note else {})}
        return measure.run([*command, *platforms], self.env | told, self.work)

    def sync(self, cache: Path, venv: Path, *more: str) -> Sample:
        """`uv sync --frozen` of orders: the packages that cdaf seals, the checks' group among them."""
        command = [self.programs.named("uv"), "sync", "--quiet", "--frozen", "--no-dev", "--group", "smoke"]
        env = {"UV_CACHE_DIR": str(cache), "UV_PROJECT_ENVIRONMENT": str(venv), "UV_PYTHON_DOWNLOADS": "never"}
        return measure.run(
            [*command, *more, "--python", self.programs.named("python")], self.env | env, self.orders.root
        )

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder, gone afterwards."""
        with TemporaryDirectory(dir=self.work) as name:
            yield Path(name)


@contextmanager
def registry(bench: Bench) -> Iterator[Registry]:
    """A registry that is empty."""
    with bench.folder() as folder, serve.serving(folder) as served:
        yield served


def change(bench: Bench) -> Callable[[], None]:
    """What changes one line of the service and commits it."""
    return lambda: service.changed(bench.orders, CHANGED)


def after(first: Callable[[], None], then: measure.Prepared) -> measure.Prepared:
    """A run that has something done before it, off the clock."""

    def both() -> Sample:
        first()
        return then()

    return both


def seconds(samples: Sequence[Sample]) -> tuple[float, ...]:
    """Their times."""
    return tuple(sample.seconds for sample in samples)
