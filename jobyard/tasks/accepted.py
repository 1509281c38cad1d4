"""Sends the signals about accepted jobs, with the arguments that their payloads hold."""

from collections.abc import Sequence

from jobyard.broker.accepted_signals import is_heard, send_accepted
from jobyard.jobs.files.claim_checks import is_check
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.tasks.registry import known_task
from jobyard.tasks.signature import CallArguments

__all__ = ["is_heard", "report_accepted"]


def report_accepted(new_jobs: Sequence[NewJob], acceptances: Sequence[Acceptance]) -> None:
    """Send the signals about those of the jobs that are new, if a receiver is connected."""
    if is_heard():
        send_accepted(new_jobs, acceptances, _arguments)


def _arguments(new: NewJob) -> CallArguments:
    definition = known_task(new.task)
    if definition is None or is_check(new.payload):  # a large payload is in a file
        return (), {}
    return definition.signature.by_position(definition.decode(new.payload))
