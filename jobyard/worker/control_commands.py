"""Celery's remote commands about queues, by our names, and those about tasks, which are the ledger's.

One of our queues may be two at the broker. Replaced here are the commands that would change or show what a
worker has in its memory alone.
"""

from collections.abc import Iterable
from typing import Any, Final

from celery.worker import control
from celery.worker import state as worker_state
from celery.worker.control import control_command, inspect_command

from jobyard.broker.queues import add_queues
from jobyard.broker.remote_control import NO_RATE_LIMIT, NO_STAMPS, NO_TIME_LIMIT, reply_of
from jobyard.broker.revoke import revoke as revoke_in
from jobyard.jobs.actors import CONTROL
from jobyard.jobs.errors import JobyardError
from jobyard.jobs.ledger import get_ledger
from jobyard.settings import get_settings
from jobyard.settings.priority_bands import broker_queues
from jobyard.tasks.queues import check_queue
from jobyard.worker import ledger_inspection

# Celery's own commands, before ours take their places.
_stock: Any = control
FIXED_THREADS: Final = (
    "this worker runs jobs on threads, whose number is set at its start (JOBYARD_WORKER__THREADS): start "
    "another worker beside it, or one with --kind prefork, which grows and shrinks"
)


@control_command(variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke(_: Any, task_id: str | Iterable[str], terminate: bool = False, **__: Any) -> dict[str, str]:
    """Cancel the job (or a list of them), if it waits."""
    reason = "revoked, to be terminated" if terminate else "revoked"
    return reply_of(revoke_in(get_ledger(), task_id, reason=reason, actor=CONTROL))


@control_command(variadic="task_id", args=[("signal", str)], signature="<signal> [id1 [id2 [... [idN]]]]")
def terminate(state: Any, signal: str, task_id: str | Iterable[str], **_: Any) -> dict[str, str]:
    """Cancel the job (or a list of them), if it waits."""
    answer: dict[str, str] = revoke(state, task_id, terminate=True)
    return answer


@control_command(variadic="headers", signature="[key1=value1 [key2=value2 [... [keyN=valueN]]]]")
def revoke_by_stamped_headers(_: Any, **__: Any) -> dict[str, str]:
    """Refused: jobs bear no stamps."""
    return {"error": NO_STAMPS}


@control_command(
    args=[("task_name", str), ("rate_limit", str)],
    signature="<task_name> <rate_limit>",
)
def rate_limit(_: Any, **__: Any) -> dict[str, str]:
    """Refused: a rate limit would count for one worker alone."""
    return {"error": NO_RATE_LIMIT}


@control_command(
    args=[("task_name", str), ("soft", float), ("hard", float)],
    signature="<task_name> <soft_secs> [hard_secs]",
)
def time_limit(_: Any, **__: Any) -> dict[str, str]:
    """Refused: a task's limits are declared with it."""
    return {"error": NO_TIME_LIMIT}


@inspect_command(alias="dump_active")
def active(state: Any, **_: Any) -> list[dict[str, Any]]:
    """List of jobs that this worker runs."""
    return ledger_inspection.active(get_ledger().database, state.hostname)


@inspect_command(alias="dump_reserved")
def reserved(state: Any, **_: Any) -> list[dict[str, Any]]:
    """List of queued jobs whose message this worker has fetched."""
    return ledger_inspection.reserved(get_ledger().database, state.hostname, _fetched_job_ids(state))


@inspect_command(alias="dump_schedule")
def scheduled(state: Any, **_: Any) -> list[dict[str, Any]]:
    """List of jobs that wait for their time, each shown by one of the workers that serve its queue."""
    return ledger_inspection.scheduled(get_ledger().database, state.hostname, get_settings().worker.lease)


@inspect_command(variadic="ids", signature="[id1 [id2 [... [idN]]]]")
def query_task(state: Any, ids: str | Iterable[str], **_: Any) -> dict[str, Any]:
    """Query for jobs by id: those of this worker, as `active`, `reserved` and `scheduled` show them."""
    wanted = {ids} if isinstance(ids, str) else set(ids)
    shown = {
        "active": active(state),
        "reserved": reserved(state),
        "scheduled": [entry["request"] for entry in scheduled(state)],
    }
    return {
        info["id"]: (name, info) for name, infos in shown.items() for info in infos if info["id"] in wanted
    }


def _fetched_job_ids(state: Any) -> list[str]:
    waiting = state.tset(worker_state.reserved_requests) - state.tset(worker_state.active_requests)
    return [job_id for request in waiting for argument in request.args for job_id in argument]


@control_command(args=[("n", int)], signature="[N=1]")
def pool_grow(state: Any, n: int = 1, **_: Any) -> dict[str, str]:
    """Grow pool by n processes."""
    return _no_processes(state) or dict(_stock.pool_grow(state, n))


@control_command(args=[("n", int)], signature="[N=1]")
def pool_shrink(state: Any, n: int = 1, **_: Any) -> dict[str, str]:
    """Shrink pool by n processes."""
    return _no_processes(state) or dict(_stock.pool_shrink(state, n))


def _no_processes(state: Any) -> dict[str, str] | None:
    # A pool of threads has no such method, in Celery too.
    return None if hasattr(state.consumer.pool, "grow") else {"error": FIXED_THREADS}


@control_command(args=[("queue", str)], signature="<queue>")
def add_consumer(state: Any, queue: str, **_: Any) -> dict[str, str]:
    """Tell worker(s) to start serving a queue."""
    if refusal := _refusal(queue):
        return refusal
    add_queues([queue])
    for name in broker_queues(queue, get_settings()):
        state.consumer.call_soon(state.consumer.add_task_queue, name)
    return {"ok": f"serving {queue}"}


@control_command(args=[("queue", str)], signature="<queue>")
def cancel_consumer(state: Any, queue: str, **_: Any) -> dict[str, str]:
    """Tell worker(s) to stop serving a queue."""
    if refusal := _refusal(queue):
        return refusal
    add_queues([queue])
    for name in broker_queues(queue, get_settings()):
        state.consumer.call_soon(state.consumer.cancel_task_queue, name)
    return {"ok": f"no longer serving {queue}"}


def _refusal(queue: str) -> dict[str, str] | None:
    # Celery would create an unknown queue at the broker, which would never get a job.
    try:
        check_queue(queue)
    except JobyardError as error:
        return {"error": str(error)}
    return None
