"""A worker's record of a message that it has received, which tells receivers and hooks nothing of it.

Celery's main process reports the end of a message whose child was lost, or that Celery itself has ended, as
the end of a task. Here a message names jobs, and what becomes of them is the ledger's.
"""

from typing import Any, Final

from celery.worker import request as celery_requests
from celery.worker.request import Request


class _TaskOfMessage:
    """A task, for a message: without the hooks, which are about jobs, and never published past the ledger."""

    retry_on_worker_lost = False

    def __init__(self, task: Any) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def on_retry(self, *_: Any) -> None: ...
    def on_failure(self, *_: Any) -> None: ...


class MessageRequest(Request):
    """Celery's `Request`, for a message about jobs."""

    _task: Any

    @property
    def task(self) -> Any:
        """Overridden so that what Celery does with a message calls no hook and sends no signal."""
        return _TaskOfMessage(self._task)

    def revoked(self) -> bool:
        """Overridden so that no message is thrown away for an id in a worker's memory: rows are cancelled."""
        return False


class _OfTasksAlone:
    """A signal of Celery's in its module of requests, which is not sent about messages."""

    def __init__(self, signal: Any) -> None:
        self._signal = signal

    def send(self, sender: Any, **arguments: Any) -> Any:
        return [] if isinstance(sender, _TaskOfMessage) else self._signal.send(sender=sender, **arguments)


class _Signals:
    def __init__(self, module: Any) -> None:
        self._module = module
        self.task_failure = _OfTasksAlone(module.task_failure)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


REQUEST_CLASS: Final = f"{MessageRequest.__module__}:{MessageRequest.__qualname__}"


def send_no_signals_about_messages() -> None:
    """Replace the signals in Celery's module of requests; once for a process."""
    names: Any = celery_requests
    if not isinstance(names.signals, _Signals):
        names.send_retry = _OfTasksAlone(names.signals.task_retry).send
        names.send_revoked = _OfTasksAlone(names.signals.task_revoked).send
        names.signals = _Signals(names.signals)
