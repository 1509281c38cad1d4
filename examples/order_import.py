"""A task whose effect happens once, however often its job runs: the job's id is the effect's key.

JOBYARD_TASKS__MODULES=examples.order_import make run
"""

import sqlite3
from contextlib import closing

from jobyard.settings import get_settings
from jobyard.tasks.context import current_job
from jobyard.tasks.declare import task
from jobyard.tasks.payload import Payload


class Order(Payload):
    """An order to book."""

    customer: str
    amount_cents: int


class Booked(Payload):
    """Whether this attempt booked it, or found that an earlier one had."""

    was_new: bool


@task("order.book", autoretry_for=(sqlite3.OperationalError,), retry_backoff=True, time_limit=10)
def book_order(order: Order) -> Booked:
    """Book an order, once."""
    with closing(sqlite3.connect(get_settings().home / "orders.db")) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS booking (job_id TEXT PRIMARY KEY, customer, cents)")
        row = (current_job().job_id, order.customer, order.amount_cents)
        # The effect and its key in one statement and one transaction: both are there, or neither.
        cursor = database.execute("INSERT INTO booking VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row)
        return Booked(was_new=cursor.rowcount == 1)
