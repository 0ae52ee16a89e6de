"""What the engine is and what runs on it."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from cdaf import process
from cdaf.engine.client import TIMEOUT, api, asking, binary, endpoint, is_local
from cdaf.engine.containers import seconds
from cdaf.errors import EngineError

ENGINE, COMPOSE, BUILDX = (23, 0), (2, 20), (0, 10)
LOOPBACK = "127.0.0.1"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "i686": "386"}


class EngineFacts(msgspec.Struct, frozen=True):
    """The engine, its client and the platforms that run; `buildx` is empty when the plugin is missing.

    `native` is the engine's own platform, `emulated` those that binfmt makes run. `host` reaches published ports.
    `logging` is the driver that keeps containers' logs unless they say otherwise. `ahead` is by how many seconds the
    engine's clock is ahead of this machine's.
    """

    version: str
    api: str
    compose: str
    buildx: str
    client: str
    endpoint: str
    host: str
    native: str
    emulated: tuple[str, ...]
    mirrors: tuple[str, ...]
    store: str
    logging: str
    ahead: float

    def runs(self, wanted: str) -> Literal["native", "emulated", ""]:
        """How a platform runs here; empty when it doesn't."""
        if base(wanted) == base(self.native):
            return "native"
        return "emulated" if base(wanted) in map(base, self.emulated) else ""


def base(wanted: str) -> str:
    """A platform without the variant that its architecture implies (`linux/arm64/v8` is `linux/arm64`)."""
    return wanted.removesuffix("/v8") if wanted.endswith("arm64/v8") else wanted


def native() -> str:
    """The engine's own platform, which runs for certain. Raises EngineError when no engine answers."""
    with asking("the engine"):
        return _native(api().info())


def runs(wanted: str) -> bool:
    """Whether a platform runs here, natively or emulated; the client is asked only where the engine's own won't do.

    Raises EngineError.
    """
    return base(wanted) == base(native()) or bool(facts().runs(wanted))


def _native(info: Mapping[str, Any]) -> str:
    return f"{info['OSType']}/{_ARCHITECTURES.get(info['Architecture'], info['Architecture'])}"


def facts() -> EngineFacts:
    """Ask the engine and the client about themselves.

    Raises EngineError when Docker is missing, too old, or does not answer.
    """
    client = binary()
    with asking("the engine"):
        version, info = api().version(), api().info()
        ahead = 0.0 if is_local(endpoint()) else seconds(info["SystemTime"]) - time.time()
    with ThreadPoolExecutor(3) as pool:
        plugins = [pool.submit(_plugin, client, name) for name in ("compose", "buildx")]
        builder = pool.submit(_buildable, client)
        compose, buildx, buildable = plugins[0].result(), plugins[1].result(), builder.result()
    _demand("the engine", version["Version"], ENGINE)
    _demand("docker compose", compose, COMPOSE)
    native = _native(info)
    return EngineFacts(
        version=version["Version"],
        api=version["ApiVersion"],
        compose=compose,
        buildx=buildx,
        client=client,
        endpoint=endpoint(),
        host=host(),
        native=native,
        emulated=_emulated(buildable, native),
        mirrors=tuple((info.get("RegistryConfig") or {}).get("Mirrors") or ()),
        store=str(info.get("Driver", "")),
        logging=str(info.get("LoggingDriver", "")),
        ahead=ahead,
    )


def host() -> str:
    """The name by which this machine reaches ports that the engine publishes."""
    where = endpoint()
    return LOOPBACK if is_local(where) else urlsplit(where).hostname or LOOPBACK


def demand_buildx(known: EngineFacts) -> None:
    """Raise EngineError unless buildx is there and new enough to build."""
    if not known.buildx:
        raise EngineError("the docker client has no buildx plugin", "install docker-buildx 0.10 or newer")
    _demand("docker buildx", known.buildx, BUILDX)


def _plugin(client: str, name: str) -> str:
    """A plugin's version, empty when it is not there."""
    option = ["--short"] if name == "compose" else []
    told = process.run([client, name, "version", *option], timeout=TIMEOUT)
    words = told.stdout.decode(errors="replace").split()
    if told.code or not words:
        return ""
    return (words[0] if name == "compose" else words[min(1, len(words) - 1)]).lstrip("v")


def _demand(what: str, version: str, least: tuple[int, int]) -> None:
    if numbers(version) < least:
        wanted = ".".join(map(str, least))
        raise EngineError(f"{what} is version {version}, and cdaf needs {wanted}", f"upgrade it to {wanted} or newer")


def numbers(version: str) -> tuple[int, int]:
    """The first two numbers of a version."""
    parts = version.lstrip("v").replace("-", ".").replace("+", ".").split(".")
    found = [int(part) for part in parts[:2] if part.isdecimal()]
    return (found[0], found[1]) if len(found) == 2 else (0, 0)


def _buildable(client: str) -> list[str]:
    """What the engine's own builder says it can run: it has tried binfmt's emulators."""
    told = process.run([client, "buildx", "inspect", "default"], timeout=TIMEOUT)
    lines = [line.partition(":")[2] for line in told.stdout.decode().splitlines() if line.startswith("Platforms:")]
    return [platform.strip(" *") for line in lines for platform in line.split(",") if platform.strip()]


def _emulated(buildable: list[str], native: str) -> tuple[str, ...]:
    """The platforms beyond the native one, its variants, and what its processor runs by itself."""
    kin = {"linux/amd64": ("linux/386",), "linux/arm64": ("linux/arm/v7", "linux/arm/v6")}.get(native, ())
    return tuple(sorted(base(each) for each in buildable if not each.startswith(native) and each not in kin))
