"""What is claimed for a message that is ahead of its row, and what is written down of a bundle."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from jobyard.broker.accept_and_publish import LONGEST_COMMIT_SECONDS
from jobyard.jobs.job import Cause, ClaimedJob, Failed, NewJob, NotStarted, Outcome, Succeeded, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.grouped_ledger import GroupedLedger
from jobyard.worker.execution.message import (
    LOOK_AGAIN_AFTER_SECONDS,
    QUERY_STATUS_FROM_SECONDS,
    _claim,
    _settle,
)

BAD = '"what no database keeps"'


def test_of_a_bundle_only_the_outcome_that_is_refused_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Outcome] = []

    def settle(outcomes: Sequence[Outcome]) -> None:
        if any(isinstance(outcome, Succeeded) and outcome.result == BAD for outcome in outcomes):
            raise ValueError("a character that no database keeps")
        kept.extend(outcomes)

    monkeypatch.setattr(
        "jobyard.worker.execution.message.get_grouped_ledger", lambda _: SimpleNamespace(settle=settle)
    )
    fine: list[Outcome] = [Succeeded("a", 1, "1"), Succeeded("c", 1, "1"), NotStarted("d", 1)]
    _settle([fine[0], Succeeded("b", 1, BAD), *fine[1:]], "worker")
    assert [outcome for outcome in kept if outcome.job_id != "b"] == fine
    [refused] = (outcome for outcome in kept if outcome.job_id == "b")
    assert isinstance(refused, Failed)
    assert (refused.failure.cause, refused.retry_in) == (Cause.RESULT_REFUSED, None)


class Watched(GroupedLedger):
    """Counts the groups that are claimed, and does what is to be done before one of them."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger, "worker")
        self.claims = 0
        self.before: dict[int, Callable[[], object]] = {}

    def _claim(self, groups: Sequence[Sequence[str]]) -> list[list[ClaimedJob]]:
        self.claims += 1
        self.before.get(self.claims, lambda: None)()
        return super()._claim(groups)


@pytest.fixture
def watched(own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Watched:
    grouped = Watched(own_ledger)
    monkeypatch.setattr("jobyard.worker.execution.message.get_grouped_ledger", lambda _: grouped)
    monkeypatch.setattr("jobyard.worker.execution.message.get_ledger", lambda: own_ledger)
    return grouped


def new() -> NewJob:
    return NewJob(new_id(), "any", "{}", 3)


@pytest.mark.parametrize("look", range(2, len(LOOK_AGAIN_AFTER_SECONDS) + 2))
def test_a_worker_that_comes_before_the_row_waits_for_it(
    own_ledger: Ledger, watched: Watched, look: int
) -> None:
    one = new()
    watched.before[look] = lambda: own_ledger.accept([one])
    assert [claimed.id for claimed in _claim([one.id], "worker")] == [one.id]
    assert watched.claims == look


def test_a_worker_looks_for_longer_than_a_commit_may_take_that_was_rung_for() -> None:
    assert sum(LOOK_AGAIN_AFTER_SECONDS) > 1.5 * LONGEST_COMMIT_SECONDS


def test_a_row_that_never_comes_is_given_up(watched: Watched) -> None:
    assert _claim([new_id()], "worker") == []
    assert watched.claims == 1 + len(LOOK_AGAIN_AFTER_SECONDS)


def test_a_message_too_many_is_no_reason_to_wait(own_ledger: Ledger, watched: Watched) -> None:
    [accepted] = own_ledger.accept([new()])
    own_ledger.claim([accepted.job_id], "another")
    assert _claim([accepted.job_id], "worker") == []
    without_asking = [pause for pause in LOOK_AGAIN_AFTER_SECONDS if pause < QUERY_STATUS_FROM_SECONDS]
    assert watched.claims == 1 + len(without_asking) + 1, "it runs elsewhere"


def test_nobody_waits_for_the_rest_of_a_bundle(own_ledger: Ledger, watched: Watched) -> None:
    [accepted] = own_ledger.accept([new()])
    assert len(_claim([accepted.job_id, new_id()], "worker")) == 1
    assert watched.claims == 1


def test_of_two_workers_that_wait_for_a_row_one_gets_it(own_ledger: Ledger, watched: Watched) -> None:
    one = new()
    watched.before[3] = lambda: own_ledger.accept([one])
    with ThreadPoolExecutor(2) as threads:
        claimed = list(threads.map(lambda _: _claim([one.id], "worker"), range(2)))
    assert sum(map(len, claimed)) == 1
