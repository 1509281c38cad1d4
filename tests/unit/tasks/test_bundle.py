"""What is written down of a bundle: an outcome that the ledger cannot keep costs the others nothing."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from jobs.job import Cause, Failed, NotStarted, Outcome, Succeeded
from tasks.bundle import _settle

BAD = '"what no database keeps"'


def test_of_a_bundle_only_the_outcome_that_is_refused_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Outcome] = []

    def settle(outcomes: Sequence[Outcome]) -> None:
        if any(isinstance(outcome, Succeeded) and outcome.result == BAD for outcome in outcomes):
            raise ValueError("a character that no database keeps")
        kept.extend(outcomes)

    monkeypatch.setattr("tasks.bundle.get_grouped_ledger", lambda _: SimpleNamespace(settle=settle))
    fine: list[Outcome] = [Succeeded("a", 1, "1"), Succeeded("c", 1, "1"), NotStarted("d", 1)]
    _settle([fine[0], Succeeded("b", 1, BAD), *fine[1:]], "worker")
    assert [outcome for outcome in kept if outcome.job_id != "b"] == fine
    [refused] = (outcome for outcome in kept if outcome.job_id == "b")
    assert isinstance(refused, Failed)
    assert (refused.failure.cause, refused.retry_in) == (Cause.RESULT_REFUSED, None)
