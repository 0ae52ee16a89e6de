"""What the checks share.

The checks run twice with a restart of the service in between: round 1 places an order, round 2 must find that one.
"""

import hashlib
import os
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

ITEMS = [
    {"sku": "tea-assam-250", "quantity": 2, "unit_price": 890},
    {"sku": "cup-white", "quantity": 1, "unit_price": 1450},
]


@pytest.fixture(scope="session")
def first_round() -> bool:
    """Whether this is the round before the restart."""
    return os.environ.get("CDAF_SMOKE_ROUND", "1") == "1"


@pytest.fixture(scope="session")
def customer() -> str:
    """A customer whom no other run knows; the same in both rounds."""
    run = os.environ.get("CDAF_SMOKE_ID") or uuid.uuid4().hex
    return "smoke-" + hashlib.sha256(run.encode()).hexdigest()[:20]


@pytest.fixture(scope="session")
def service() -> Iterator[httpx.Client]:
    """A client of the service under test."""
    with httpx.Client(base_url=os.environ.get("CDAF_SMOKE_URL", "http://127.0.0.1:8000"), timeout=10) as client:
        yield client


@pytest.fixture(scope="session")
def placed(service: httpx.Client, customer: str, first_round: bool) -> dict[str, Any]:
    """The order of this run: placed and paid in round 1, found again in round 2."""
    if first_round:
        answer = service.post("/orders", json={"customer": customer, "items": ITEMS})
        assert answer.status_code == 201, answer.text
        order = service.get(answer.headers["Location"]).json()
        paid = service.post(f"/orders/{order['id']}/pay", json={"method": "card", "reference": "smoke"})
        assert paid.status_code == 200, paid.text
    found = service.get("/orders", params={"customer": customer}).json()["orders"]
    assert len(found) == 1, f"{customer} has {len(found)} orders, not the one placed in round 1"
    order = found[0]
    assert isinstance(order, dict)
    return order
