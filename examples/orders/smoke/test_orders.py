"""An order lives on: through the cache, its payment and a restart of the service."""

from typing import Any

import httpx
from conftest import ITEMS


def test_order_is_found_as_it_was_placed(placed: dict[str, Any], customer: str) -> None:
    assert placed["customer"] == customer
    assert placed["items"] == ITEMS
    assert placed["total"] == 2 * 890 + 1450


def test_payment_is_kept(service: httpx.Client, placed: dict[str, Any]) -> None:
    order = service.get(f"/orders/{placed['id']}").json()
    assert order["status"] == "paid"
    assert order["payment"]["method"] == "card"


def test_paying_twice_is_refused(service: httpx.Client, placed: dict[str, Any]) -> None:
    answer = service.post(f"/orders/{placed['id']}/pay", json={"method": "card", "reference": "again"})
    assert answer.status_code == 409
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_second_read_comes_from_the_cache(service: httpx.Client, placed: dict[str, Any]) -> None:
    path = f"/orders/{placed['id']}"
    first, second = service.get(path), service.get(path)
    assert second.headers["X-Cache"] == "hit"
    assert second.json() == first.json()


def test_invoice_outlives_the_restart(service: httpx.Client, placed: dict[str, Any], first_round: bool) -> None:
    answer = service.get(f"/orders/{placed['id']}/invoice")
    assert answer.status_code == 200
    assert f"Total {placed['total']} EUR" in answer.text
    assert answer.headers["X-Invoice"] == ("written" if first_round else "kept")
