"""Jobs whose commit got no answer are accepted again, until it is known whether they are in the ledger."""

import pickle
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from jobyard.jobs.errors import CommitUnknownError, LedgerUnavailableError, OutcomeUnknownError
from jobyard.jobs.job import Acceptance, NewJob, Verdict, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.accept_for_certain import accept_for_certain
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.search import count_jobs

PATIENCE_SECONDS = 20


def new(**fields: Any) -> NewJob:
    usual: dict[str, Any] = {"id": new_id(), "task": "bad.deed", "payload": "{}", "max_attempts": 3}
    return NewJob(**usual | fields)


class Answers:
    """Accepts by a ledger whose first answers are lost, or that is out of reach then."""

    def __init__(self, ledger: Ledger | None, *errors: Exception, commits: bool = True) -> None:
        self.ledger, self.errors, self.commits, self.calls = ledger, list(errors), commits, 0

    def accept(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        self.calls += 1
        acceptances = (
            self.ledger.accept(new_jobs) if self.ledger and (self.commits or not self.errors) else []
        )
        if self.errors:
            raise self.errors.pop(0)
        return acceptances


LOST = CommitUnknownError("the answer was lost")
AWAY = LedgerUnavailableError("away")


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize(
    "jobs",
    [
        lambda: [new()],
        lambda: [new(), new()],
        lambda: [new(idempotency_key="one", request_hash="one")],
        lambda: [new(unique_key="one")],
        lambda: [new(tags=("one", "two")), new()],
        lambda: [new(idempotency_key=f"k {n}", request_hash="all", bulk="first") for n in range(3)],
        lambda: [new(delay=timedelta(hours=1))],
    ],
    ids=["one", "alike", "with a key", "unique", "with tags", "a bulk call", "later"],
)
def test_a_job_is_accepted_once_whether_its_commit_was_made_or_not(
    own_ledger: Ledger, jobs: Callable[[], list[NewJob]], commits: bool
) -> None:
    new_jobs, answers = jobs(), Answers(own_ledger, LOST, AWAY, commits=commits)
    acceptances = accept_for_certain(answers.accept, new_jobs, PATIENCE_SECONDS)
    assert acceptances == [Acceptance(new_job.id, Verdict.NEW) for new_job in new_jobs]
    assert answers.calls == 3
    assert count_jobs(own_ledger.database, JobFilter()).jobs == len(new_jobs)


def test_a_refusal_that_is_certain_is_not_tried_again() -> None:
    answers = Answers(None, AWAY)
    with pytest.raises(LedgerUnavailableError, match="away"):
        accept_for_certain(answers.accept, [new()], PATIENCE_SECONDS)
    assert answers.calls == 1


def test_after_a_doubt_a_ledger_out_of_reach_leaves_the_outcome_unknown() -> None:
    new_jobs, answers = [new(), new()], Answers(None, LOST, *[AWAY] * 100)
    with pytest.raises(OutcomeUnknownError, match=r"2 jobs were accepted.*away") as raised:
        accept_for_certain(answers.accept, new_jobs, patience_seconds=0.2)
    assert raised.value.job_ids == [new_job.id for new_job in new_jobs]
    assert answers.calls > 2


def test_a_doubt_from_elsewhere_ends_with_the_first_answer(own_ledger: Ledger) -> None:
    new_jobs = [new()]
    own_ledger.accept(new_jobs)
    answers = Answers(own_ledger)
    assert accept_for_certain(answers.accept, new_jobs, 0, "a process was lost")[0].verdict is Verdict.NEW
    with pytest.raises(OutcomeUnknownError):
        accept_for_certain(Answers(None, AWAY).accept, new_jobs, 0, "a process was lost")


def test_the_error_goes_from_one_process_to_another_as_it_is() -> None:
    error = pickle.loads(pickle.dumps(OutcomeUnknownError(["one"], "no answer")))
    assert (error.job_ids, error.reason) == (["one"], "no answer")
    assert str(error).startswith("it is unknown whether job one was accepted")
