"""What stands where Celery's result backend would: it names `AsyncResult`, which reads the ledger."""

from typing import Any, NoReturn

from celery.backends.base import DisabledBackend

from jobyard.jobs.errors import CallRefusedError


class NoBackend(DisabledBackend):
    """A disabled backend whose error names the way out; Celery's own fails on an attribute that it lacks."""

    def _is_disabled(self, *_: Any, **__: Any) -> NoReturn:
        raise CallRefusedError(
            "celery.result asks a result backend, and results are in the ledger: "
            "from jobyard import AsyncResult, or app.AsyncResult"
        )

    get_state = get_status = get_result = get_traceback = _is_disabled
    get_task_meta_for = _get_task_meta_for = wait_for = wait_for_pending = get_many = _is_disabled
