"""The connections that one worker process holds."""

import atexit
from dataclasses import dataclass

import redis
from psycopg_pool import ConnectionPool

from orders.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """What a request needs: settings, database connections, cache."""

    settings: Settings
    database: ConnectionPool
    cache: redis.Redis


def connect(settings: Settings) -> Parts:
    """Set up the connections; nothing waits for a server to be there."""
    database = ConnectionPool(
        settings.database_url,
        min_size=1,
        max_size=4,
        timeout=3,
        kwargs={"connect_timeout": 3, "application_name": "orders"},
        check=ConnectionPool.check_connection,
        open=True,
    )
    # Left to the interpreter's own end, the pool waits 5 s for each of its threads, which no longer run by then.
    atexit.register(database.close)
    cache = redis.Redis.from_url(settings.redis_url, socket_timeout=1, socket_connect_timeout=1)
    return Parts(settings, database, cache)
