"""The time limits of a job: its own, which came with its call, or else its task's."""

from jobyard.jobs.job import ClaimedJob
from jobyard.tasks.definition import AnyDefinition
from jobyard.worker.execution.next_step import Limits


def limits_of(task: AnyDefinition, job: ClaimedJob) -> Limits:
    """Return the limits of an attempt at a job, in seconds."""
    hard = task.hard_limit if job.time_limit is None else job.time_limit
    soft = task.soft_limit if job.soft_time_limit is None else job.soft_time_limit
    return Limits(min(soft, hard), hard)
