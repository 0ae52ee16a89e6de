"""The interface keeps its promises, to clumsy clients too."""

from typing import Any

import httpx
import pytest

ITEM = {"sku": "cup-white", "quantity": 1, "unit_price": 1450}


def test_service_is_healthy_and_says_what_it_is(service: httpx.Client) -> None:
    assert service.get("/healthz").json() == {"status": "ok"}
    assert service.get("/version").json()["name"] == "orders"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"customer": "c", "items": []}, "items"),
        ({"customer": "", "items": [ITEM]}, "customer"),
        ({"customer": "nul\0", "items": [ITEM]}, "customer"),
        ({"customer": "c", "items": [{**ITEM, "quantity": 0}]}, "items.0.quantity"),
        ({"customer": "c", "items": [{**ITEM, "quantity": "1"}]}, "items.0.quantity"),
        ({"customer": "c", "items": [ITEM], "discount": 100}, "discount"),
    ],
)
def test_faulty_order_is_refused_with_its_fault(service: httpx.Client, body: dict[str, Any], field: str) -> None:
    answer = service.post("/orders", json=body)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


def test_body_that_is_not_json_is_refused(service: httpx.Client) -> None:
    assert service.post("/orders", content="{", headers={"Content-Type": "application/json"}).status_code == 400
    assert service.post("/orders", content="{}", headers={"Content-Type": "text/plain"}).status_code == 415


@pytest.mark.parametrize("order_id", [2**62, 2**64, "0", "x"])
def test_unknown_order_is_a_problem_with_404(service: httpx.Client, order_id: object) -> None:
    answer = service.get(f"/orders/{order_id}")
    assert answer.status_code == 404
    assert answer.json()["status"] == 404


def test_pages_do_not_overlap(service: httpx.Client, customer: str, first_round: bool) -> None:
    buyer = f"{customer}-pages"
    for _ in range(3 if first_round else 0):
        assert service.post("/orders", json={"customer": buyer, "items": [ITEM]}).status_code == 201
    first = service.get("/orders", params={"customer": buyer, "limit": 2}).json()
    assert first["next"], f"{buyer} has fewer orders than were placed in round 1"
    second = service.get(first["next"]).json()
    ids = [order["id"] for order in first["orders"] + second["orders"]]
    assert len(ids) == 3
    assert ids == sorted(set(ids), reverse=True)
    assert second["next"] is None
    assert service.get("/orders", params={"limit": 101}).status_code == 422
