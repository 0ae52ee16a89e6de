"""Orders in PostgreSQL: one function for each thing that happens to them."""

from datetime import UTC, datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from orders.requests import ListQuery, NewOrder, NewPayment

Order = dict[str, Any]

_SELECT = """
    SELECT o.id, o.customer, o.currency, o.status, o.created_at, p.paid_at, p.method, p.reference,
           (SELECT jsonb_agg(jsonb_build_object('sku', i.sku, 'quantity', i.quantity, 'unit_price', i.unit_price)
                             ORDER BY i.position)
              FROM order_items i WHERE i.order_id = o.id) AS items
      FROM orders o LEFT JOIN payments p ON p.order_id = o.id
"""


class AlreadyPaidError(Exception):
    """The order has its payment."""


def create(connection: Connection[Any], order: NewOrder) -> Order:
    """Store a new order with its items, both or neither."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orders (customer, currency) VALUES (%s, %s) RETURNING id", (order.customer, order.currency)
        )
        (order_id,) = cursor.fetchone() or (0,)
        cursor.executemany(
            "INSERT INTO order_items (order_id, position, sku, quantity, unit_price) VALUES (%s, %s, %s, %s, %s)",
            [(order_id, n, item.sku, item.quantity, item.unit_price) for n, item in enumerate(order.items, 1)],
        )
        return _one(connection, order_id)


def find(connection: Connection[Any], order_id: int) -> Order | None:
    """Read one order, or None."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SELECT + "WHERE o.id = %s", (order_id,)).fetchone()
    return _order(row) if row else None


def page(connection: Connection[Any], query: ListQuery) -> tuple[list[Order], int | None]:
    """Read one page of orders, newest first, and the `before` of the next page if there is one."""
    wanted = """
        WHERE (%(customer)s::text IS NULL OR o.customer = %(customer)s)
          AND (%(before)s::bigint IS NULL OR o.id < %(before)s)
        ORDER BY o.id DESC LIMIT %(limit)s + 1
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SELECT + wanted, query.model_dump()).fetchall()
    orders = [_order(row) for row in rows[: query.limit]]
    return orders, orders[-1]["id"] if len(rows) > query.limit else None


def pay(connection: Connection[Any], order_id: int, payment: NewPayment) -> Order | None:
    """Record the payment and mark the order paid; None without such an order, AlreadyPaidError the second time."""
    with connection.transaction():
        locked = connection.execute("SELECT status FROM orders WHERE id = %s FOR UPDATE", (order_id,)).fetchone()
        if locked is None:
            return None
        if locked[0] == "paid":
            raise AlreadyPaidError(order_id)
        connection.execute(
            "INSERT INTO payments (order_id, method, reference) VALUES (%s, %s, %s)",
            (order_id, payment.method, payment.reference),
        )
        connection.execute("UPDATE orders SET status = 'paid' WHERE id = %s", (order_id,))
        return _one(connection, order_id)


def ready(connection: Connection[Any]) -> None:
    """Raise psycopg.Error unless the database answers and its schema is there."""
    connection.execute("SELECT FROM orders LEFT JOIN payments ON true LIMIT 1")


def _one(connection: Connection[Any], order_id: int) -> Order:
    order = find(connection, order_id)
    assert order is not None, "the transaction that wrote an order reads it"
    return order


def _order(row: DictRow) -> Order:
    payment = {name: row.pop(name) for name in ("method", "reference", "paid_at")}
    payment["paid_at"] = _iso(payment["paid_at"])
    return {
        **row,
        "created_at": _iso(row["created_at"]),
        "total": sum(item["quantity"] * item["unit_price"] for item in row["items"]),
        "payment": payment if payment["paid_at"] else None,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds") if moment else None
