"""Django's connections around each job, beyond what Celery's own `DjangoWorkerFixup` does on task_prerun.

That closes the connections of the thread which it is called on. The queries of an `async def` task run on the
thread of `sync_to_async`, and an isolated process is no worker of Celery's, which would install it.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

SETTINGS: Final = "DJANGO_SETTINGS_MODULE"


def is_used() -> bool:
    """Tell whether this process uses Django's connections."""
    return "django.db" in sys.modules and SETTINGS in os.environ


@asynccontextmanager
async def closed_connections() -> AsyncIterator[None]:
    """Close old connections of the thread for a coroutine's queries, before the block and after it."""
    from asgiref.sync import sync_to_async
    from django.db import close_old_connections

    close = sync_to_async(close_old_connections)
    await close()
    try:
        yield
    finally:
        await close()


def install_in_isolated_process(app: Any) -> None:
    """Do what a worker's process does when it starts: close connections around each attempt."""
    if SETTINGS in os.environ:
        from celery.fixups import django as celery_django

        fixups: Any = celery_django
        fixups.DjangoWorkerFixup(app).install()
