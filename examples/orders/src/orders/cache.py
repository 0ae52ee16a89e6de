"""Reads of single orders, kept in Redis for a short time.

The cache may be lost or out of reach at any moment: then a read costs more, and nothing else changes.
"""

import json
from typing import Any

import redis
import structlog

log = structlog.get_logger(__name__)


def get(client: redis.Redis, order_id: int) -> dict[str, Any] | None:
    """Return the kept order, or None."""
    try:
        kept: Any = client.get(_key(order_id))
    except redis.RedisError as error:
        log.warning("cache unreachable", verb="get", error=str(error))
        return None
    return json.loads(kept) if kept else None


def put(client: redis.Redis, order: dict[str, Any], seconds: int) -> None:
    """Keep an order for at most `seconds`: a read that crosses a payment is out of date no longer than that."""
    try:
        client.set(_key(order["id"]), json.dumps(order), ex=seconds)
    except redis.RedisError as error:
        log.warning("cache unreachable", verb="put", error=str(error))


def forget(client: redis.Redis, order_id: int) -> None:
    """Drop a kept order that has changed."""
    try:
        client.delete(_key(order_id))
    except redis.RedisError as error:
        log.warning("cache unreachable", verb="forget", error=str(error))


def _key(order_id: int) -> str:
    return f"orders:order:{order_id}"
