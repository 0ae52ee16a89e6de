"""Look after the orders.

Usage:
  orders-admin list [--customer=REF] [--limit=N]
  orders-admin totals
  orders-admin (-h | --help)

Options:
  --customer=REF  Only the orders of this customer.
  --limit=N       How many orders to show, 1 to 100 [default: 20].
  -h --help       Show this text.
"""

import os
import sys
from typing import Any

import psycopg
from docopt import docopt
from pydantic import ValidationError

from orders import store
from orders.requests import ListQuery


def main() -> None:
    """Run the command line; the exit code is 1 when it cannot do what was asked."""
    arguments = docopt(__doc__)
    url = os.environ.get("DATABASE_URL") or sys.exit("orders-admin: DATABASE_URL is not set")
    try:
        with psycopg.connect(url, connect_timeout=3) as connection:
            lines = totals(connection) if arguments["totals"] else listing(connection, arguments)
    except ValidationError as error:
        sys.exit("\n".join(f"orders-admin: --{fault['loc'][0]}: {fault['msg']}" for fault in error.errors()))
    except psycopg.Error as error:
        sys.exit(f"orders-admin: {error}")
    print(*lines, sep="\n")


def listing(connection: psycopg.Connection[Any], arguments: dict[str, Any]) -> list[str]:
    """Return a line for each order, newest first."""
    query = ListQuery(customer=arguments["--customer"], limit=arguments["--limit"])
    orders, _ = store.page(connection, query)
    return [f"{o['id']}\t{o['customer']}\t{o['status']}\t{o['total']} {o['currency']}" for o in orders]


def totals(connection: psycopg.Connection[Any]) -> list[str]:
    """Return a line for each currency and status: how many orders, what they amount to."""
    rows = connection.execute("""
        SELECT o.currency, o.status, count(DISTINCT o.id), sum(i.quantity * i.unit_price)
          FROM orders o JOIN order_items i ON i.order_id = o.id
         GROUP BY o.currency, o.status ORDER BY o.currency, o.status
    """)
    return [f"{currency}\t{status}\t{count}\t{total}" for currency, status, count, total in rows]
