"""Declaring tasks that stock Celery workers run."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from jobyard.jobs.clock import utc_now
from jobyard.jobs.errors import ExternalNoAnswerError, RetryLater, TaskDeclarationError
from jobyard.jobs.job import NewJob, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.settings import Settings
from jobyard.settings.sections import CelerySettings
from jobyard.tasks import external as external_module
from jobyard.tasks.external import ExternalCall, external, external_tasks
from jobyard.tasks.registry import unregister

NAME = "old.tested"


def set_celery(monkeypatch: pytest.MonkeyPatch, **section: Any) -> None:
    settings = Settings(celery=CelerySettings(**section))
    monkeypatch.setattr(external_module, "get_settings", lambda: settings)


def test_a_call_takes_any_arguments_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    set_celery(monkeypatch, result_backend="redis://here/1")
    try:
        add = external(NAME, deadline=timedelta(seconds=5), result=int)
        payload = add.definition.dump(add.payload(1, "two", three=[3]))
        assert payload == '{"args":[1,"two"],"kwargs":{"three":[3]}}'
        assert add.definition.policy.max_retries == 0
        assert NAME in external_tasks
    finally:
        unregister(NAME)
        external_tasks.discard(NAME)


@pytest.mark.parametrize(
    ("section", "deadline", "words"),
    [
        ({}, 5, "JOBYARD_CELERY__RESULT_BACKEND"),
        ({"result_backend": "redis://here/1"}, 0, "deadline"),
        ({"result_backend": "redis://here/1", "queues": ("celery",)}, 5, "would take its messages back"),
    ],
)
def test_a_wrong_declaration_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, section: dict[str, Any], deadline: int, words: str
) -> None:
    set_celery(monkeypatch, **section)
    with pytest.raises(TaskDeclarationError, match=words):
        external(NAME, deadline=timedelta(seconds=deadline))
    assert NAME not in external_tasks


@pytest.mark.parametrize("url", ["rpc://", "jobyard+sqlite:////l.db", "redis"])
def test_a_result_backend_that_cannot_be_asked_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="result_backend"):
        CelerySettings(result_backend=url)


class Unreachable:
    """A stock Celery whose servers are down."""

    def answer(self, job_id: str) -> None:
        raise ConnectionError("refused")


@dataclass
class Attempt:
    """The running attempt, and what the one before has left."""

    job_id: str
    before: ExternalCall | None = None
    is_eager: bool = False

    def progress(self, kind: type[ExternalCall]) -> ExternalCall | None:
        return self.before


def test_servers_that_never_answer_are_waited_for_until_the_deadline_and_no_longer(
    monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    [accepted] = ledger.accept([NewJob(id=new_id(), task=NAME, payload="{}", max_attempts=1)])
    attempt = Attempt(accepted.job_id)
    monkeypatch.setattr(external_module, "get_stock_celery", Unreachable)
    monkeypatch.setattr(external_module, "get_database", lambda: ledger.database)
    monkeypatch.setattr(external_module, "current_job", lambda: attempt)
    set_celery(monkeypatch, result_backend="redis://here/1")
    try:
        add = external(NAME, deadline=timedelta(minutes=1))
        with pytest.raises(RetryLater, match=r"does not answer.*refused") as asked:
            add()
        left = ExternalCall.model_validate_json(asked.value.progress or "")
        attempt.before = left.model_copy(update={"since": utc_now() - timedelta(minutes=2)})
        with pytest.raises(ExternalNoAnswerError, match=r"within 60 s: .*refused"):
            add()
    finally:
        unregister(NAME)
        external_tasks.discard(NAME)
