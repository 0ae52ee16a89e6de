"""Invoices: text files in the state folder, written once and then served as they stand."""

import tempfile
from pathlib import Path
from typing import Any


def path_for(state_dir: Path, order_id: int) -> Path:
    """Return where the invoice of an order lies, or will lie."""
    return state_dir / "invoices" / f"{order_id}.txt"


def write(state_dir: Path, order: dict[str, Any]) -> Path:
    """Write the invoice of a paid order; a reader sees all of it or none."""
    path = path_for(state_dir, order["id"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", encoding="utf-8", delete=False) as part:
        part.write(render(order))
    return Path(part.name).replace(path)


def render(order: dict[str, Any]) -> str:
    """Return the invoice's text; amounts are in the currency's smallest unit."""
    lines = [f"Invoice {order['id']}", f"Customer {order['customer']}", ""]
    lines += [
        f"{item['quantity']:>6} x {item['sku']:<40} {item['quantity'] * item['unit_price']:>16}"
        for item in order["items"]
    ]
    payment = order["payment"]
    paid = f"Paid {payment['paid_at']} by {payment['method']}, reference {payment['reference']}"
    return "\n".join([*lines, "", f"Total {order['total']} {order['currency']}", paid, ""])
