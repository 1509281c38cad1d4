"""`task.update_state(...)`, as Celery has it."""

from typing import Any

from jobyard.tasks.context import inline_run
from jobyard.tasks.reported_state import StateReporter, report_of_another
from jobyard.tasks.running_call import call_of


def update_state(task: Any, task_id: str | None, state: str | None, meta: object) -> None:
    """Do what `Task.update_state` says."""
    call = call_of(task.definition)
    job = None if call is None else call.job
    if call is None or job is None:
        if task_id is None:
            raise ValueError(
                f"task {task.name!r}: update_state outside a job has nothing to update: give it a task_id, "
                "or have the function run by a worker"
            )
        report_of_another(task_id, state, meta)
    elif task_id is not None and task_id not in (job.id, job.external_id):
        report_of_another(task_id, state, meta)
    else:
        if call.reporter is None:
            inline = inline_run()
            call.reporter = StateReporter(job.id, job.attempt, inline.database if inline else None)
        call.reporter.report(state, meta)
