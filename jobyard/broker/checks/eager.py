"""Whether this process is told to run jobs itself, which a worker and its like cannot mean."""

from jobyard.broker.checks.fault import Fault, wrong
from jobyard.settings import Settings


def eager_fault(settings: Settings) -> Fault | None:
    """Return what is wrong with a worker, a keeper or a beat where this is set, or None."""
    if not settings.tasks.eager:
        return None
    return wrong(
        "JOBYARD_TASKS__EAGER, or Celery's task_always_eager, is for tests: each process that hands jobs in "
        "runs them itself, on a ledger in its own memory, and this one would find none; take the setting away"
    )
