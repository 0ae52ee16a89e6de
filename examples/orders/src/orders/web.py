"""The HTTP interface."""

import platform
from importlib.metadata import version

import psycopg
import redis
import structlog
from flask import Blueprint, Response, abort, current_app, jsonify, request, send_file, url_for
from flask.typing import ResponseReturnValue

from orders import cache, invoices, store
from orders.parts import Parts
from orders.problems import problem
from orders.requests import ListQuery, NewOrder, NewPayment

log = structlog.get_logger(__name__)
routes = Blueprint("orders", __name__)
_ID = f"<int(min=1, max={2**63 - 1}):order_id>"


def _parts() -> Parts:
    parts: Parts = current_app.extensions["orders"]
    return parts


def _body() -> bytes:
    if not request.is_json:
        abort(415, "send the body as application/json")
    return request.get_data()


@routes.post("/orders")
def create_order() -> ResponseReturnValue:
    """Take a new order."""
    wanted = NewOrder.model_validate_json(_body())
    with _parts().database.connection() as connection:
        order = store.create(connection, wanted)
    log.info("order created", order=order["id"], customer=order["customer"], total=order["total"])
    return jsonify(order), 201, {"Location": url_for("orders.read_order", order_id=order["id"])}


@routes.get("/orders")
def list_orders() -> ResponseReturnValue:
    """Show one page of orders, newest first."""
    query = ListQuery.model_validate(request.args.to_dict())
    with _parts().database.connection() as connection:
        orders, before = store.page(connection, query)
    following = {**query.model_dump(exclude_none=True), "before": before}
    return jsonify(orders=orders, next=url_for("orders.list_orders", **following) if before else None)


@routes.get(f"/orders/{_ID}")
def read_order(order_id: int) -> ResponseReturnValue:
    """Show one order; the header X-Cache says where it came from."""
    parts = _parts()
    if kept := cache.get(parts.cache, order_id):
        return jsonify(kept), {"X-Cache": "hit"}
    with parts.database.connection() as connection:
        order = store.find(connection, order_id)
    if order is None:
        abort(404, f"there is no order {order_id}")
    cache.put(parts.cache, order, parts.settings.cache_seconds)
    return jsonify(order), {"X-Cache": "miss"}


@routes.post(f"/orders/{_ID}/pay")
def pay_order(order_id: int) -> ResponseReturnValue:
    """Record the payment of an order."""
    parts = _parts()
    payment = NewPayment.model_validate_json(_body())
    try:
        with parts.database.connection() as connection:
            order = store.pay(connection, order_id, payment)
    except store.AlreadyPaidError:
        abort(409, f"order {order_id} is paid already")
    if order is None:
        abort(404, f"there is no order {order_id}")
    cache.forget(parts.cache, order_id)
    log.info("order paid", order=order_id, method=payment.method)
    return jsonify(order)


@routes.get(f"/orders/{_ID}/invoice")
def read_invoice(order_id: int) -> ResponseReturnValue:
    """Serve the invoice of a paid order; the header X-Invoice says whether it lay in the state folder already."""
    parts = _parts()
    path, found = invoices.path_for(parts.settings.state_dir, order_id), "kept"
    if not path.exists():
        with parts.database.connection() as connection:
            order = store.find(connection, order_id)
        if order is None or order["payment"] is None:
            abort(404, f"there is no paid order {order_id}")
        path, found = invoices.write(parts.settings.state_dir, order), "written"
    answer: Response = send_file(path.resolve(), mimetype="text/plain")
    answer.headers["X-Invoice"] = found
    return answer


@routes.get("/healthz")
def health() -> ResponseReturnValue:
    """Say whether the service can do its work: 200, or 503 with the parts that fail."""
    parts, failing = _parts(), {}
    try:
        with parts.database.connection() as connection:
            store.ready(connection)
    except psycopg.Error as error:
        failing["database"] = type(error).__name__
    try:
        parts.cache.ping()
    except redis.RedisError as error:
        failing["redis"] = type(error).__name__
    if failing:
        log.error("not healthy", **failing)
        return problem(503, "Service Unavailable", "a part of the service fails", failing=failing)
    return jsonify(status="ok")


@routes.get("/version")
def show_version() -> ResponseReturnValue:
    """Say what runs here."""
    return jsonify(name="orders", version=version("orders"), python=platform.python_version())
