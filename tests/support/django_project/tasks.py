"""Tasks that say whether they have found a database connection that an earlier job left open."""

import os
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection

from jobyard.tasks.declare import task
from tests.support.django_project.models import Order

_queries: list[int] = []  # of this process, from whatever thread


def _count() -> dict[str, Any]:
    was_open, connection_before = connection.connection is not None, len(_queries)
    _queries.append(Order.objects.count())
    return {"was_open": was_open, "queries_before": connection_before, "pid": os.getpid()}


@task("orders.count")
def count(number: int) -> dict[str, Any]:
    """Count the orders."""
    return _count()


@task("orders.count_async")
async def count_async(number: int) -> dict[str, Any]:
    """Count the orders, as Django's asynchronous queries do."""
    return await sync_to_async(_count)()
