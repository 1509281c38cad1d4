"""Who did what to a job, and why: kept with the job, whatever was done and by whom."""

import socket
from typing import Any

import pytest
from sqlalchemy import insert

from jobyard.jobs.actors import PYTHON
from jobyard.jobs.clock import db_now
from jobyard.jobs.database.schema import intervention
from jobyard.jobs.errors import IllegalMoveError
from jobyard.jobs.job import InterventionKind, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.interventions import interventions
from jobyard.jobs.ledger.replay_orders import get_replay
from tests.support.ledger_jobs import DAY, accepted, claimed, dead

KEY = "key:1a2b3c4d"


def notes(ledger: Ledger, job_id: str) -> list[tuple[Any, ...]]:
    return [(note.kind, note.actor, note.reason) for note in interventions(ledger.database, job_id)]


@pytest.mark.parametrize("reason", [None, "an order by mistake"])
def test_a_cancelled_job_says_by_whom_and_why(own_ledger: Ledger, reason: str | None) -> None:
    for job_id in (accepted(own_ledger), accepted(own_ledger, delay=DAY)):
        own_ledger.cancel(job_id, reason, actor=KEY)
        assert notes(own_ledger, job_id) == [(InterventionKind.CANCELLED, KEY, reason)]


def test_what_is_refused_is_not_noted(own_ledger: Ledger) -> None:
    running, _ = claimed(own_ledger)
    letter, waiting = dead(own_ledger), accepted(own_ledger)
    for job_id in (running, letter):
        with pytest.raises(IllegalMoveError):
            own_ledger.cancel(job_id, "no", actor=KEY)
    with pytest.raises(IllegalMoveError):
        own_ledger.discard(waiting, "no", actor=KEY)
    with pytest.raises(IllegalMoveError):
        own_ledger.replay(waiting, actor=KEY)
    assert own_ledger.discard_many([waiting], "no", actor=KEY) == []
    assert [notes(own_ledger, job_id) for job_id in (running, letter, waiting)] == [[], [], []]


def test_whatever_is_done_to_a_dead_job_names_the_actor(own_ledger: Ledger) -> None:
    edited, discarded, one_of_many, ordered = (dead(own_ledger) for _ in range(4))
    own_ledger.replay(edited, '{"text": "mended"}', "typing error", actor=KEY)
    own_ledger.discard(discarded, "a test", actor=KEY)
    own_ledger.discard_many([one_of_many], "all tests", actor=KEY)
    order, _ = own_ledger.replay_many([ordered], is_canary=False, reason="mended", actor=KEY)
    assert notes(own_ledger, edited) == [(InterventionKind.REPLAYED, KEY, "typing error")]
    assert notes(own_ledger, discarded) == [(InterventionKind.DISCARDED, KEY, "a test")]
    assert notes(own_ledger, one_of_many) == [(InterventionKind.DISCARDED, KEY, "all tests")]
    assert notes(own_ledger, ordered) == [(InterventionKind.REPLAYED, KEY, "mended")]
    assert get_replay(own_ledger.database, order).actor == KEY


def test_a_program_that_calls_the_ledger_is_named_by_its_machine(own_ledger: Ledger) -> None:
    waiting, letter = accepted(own_ledger), dead(own_ledger)
    own_ledger.cancel(waiting)
    order, _ = own_ledger.replay_many([letter], is_canary=False, reason=None)
    own_ledger.stop_replay(order)
    state = get_replay(own_ledger.database, order)
    assert socket.gethostname() in PYTHON
    assert notes(own_ledger, waiting) == [(InterventionKind.CANCELLED, PYTHON, None)]
    assert notes(own_ledger, letter) == [(InterventionKind.REPLAYED, PYTHON, None)]
    assert (state.actor, state.stopped_by, state.stop_reason) == (PYTHON, PYTHON, None)


def test_what_was_done_before_actors_were_kept_has_none(own_ledger: Ledger) -> None:
    job_id = dead(own_ledger)
    values = {"id": new_id(), "job_id": job_id, "kind": "replayed", "reason": "long ago", "at": db_now()}
    with own_ledger.database.writing() as connection:
        connection.execute(insert(intervention).values(values))
    assert notes(own_ledger, job_id) == [(InterventionKind.REPLAYED, None, "long ago")]
