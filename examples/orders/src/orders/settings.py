"""What the service takes from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingsError(Exception):
    """The environment does not say what the service needs."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the service finds its parts; `cache_seconds` bounds how long a cached read may live."""

    database_url: str
    redis_url: str
    state_dir: Path
    cache_seconds: int


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Read the settings and raise SettingsError naming every variable at fault."""
    faults = [f"{name} is not set" for name in ("DATABASE_URL", "REDIS_URL") if not environ.get(name)]
    seconds = environ.get("CACHE_SECONDS", "60")
    if not seconds.isdecimal() or int(seconds) == 0:
        faults.append("CACHE_SECONDS is not a whole number above 0")
    if faults:
        raise SettingsError("; ".join(faults))
    return Settings(
        database_url=environ["DATABASE_URL"],
        redis_url=environ["REDIS_URL"],
        state_dir=Path(environ.get("STATE_DIR", "state")),
        cache_seconds=int(seconds),
    )
