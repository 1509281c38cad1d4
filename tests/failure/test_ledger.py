"""The ledger out of reach while jobs run (row 20 of the matrix), on PostgreSQL."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import sleep

import pytest
from sqlalchemy import make_url

from jobyard.jobs.job import Status
from jobyard.jobs.ledger.fault_counters import FaultKind
from tests.support.own_yard import QUICK, OwnYard
from tests.support.postgresql import new_database
from tests.support.processes import Program, answers
from tests.support.relay import Relay, relayed
from tests.support.ticking import start_beat
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(180)]


@pytest.fixture
def cut_off(tmp_path: Path) -> Iterator[tuple[OwnYard, Relay]]:
    """A yard whose processes reach their ledger through a cable that can be cut; the test has its own."""
    with new_database() as url:
        server = make_url(url)
        with relayed(server.port or 5432) as relay:
            through = server.set(host="127.0.0.1", port=relay.port).render_as_string(hide_password=False)
            yard = OwnYard(tmp_path, QUICK | {"JOBYARD_LEDGER__URL": url})
            yard.ledger.database.engine.connect().close()
            yard.settings["JOBYARD_LEDGER__URL"] = through
            yard.start_valkey()
            yield yard, relay
            yard.app.close()
            yard.kill_everything()
            yard.ledger.database.close()


def test_row_20_an_outcome_waits_for_the_ledger(cut_off: tuple[OwnYard, Relay]) -> None:
    own, relay = cut_off
    worker = own.start_worker()
    [job_id] = own.hand_in("sleep", seconds=1)
    own.wait_to_begin(job_id)
    relay.cut()
    own.wait_until(lambda: "outcomes not recorded" in worker.output(), 20, "the end of the job")
    assert own.job(job_id).status is Status.RUNNING
    relay.mend()
    own.wait_for([job_id], Status.SUCCEEDED)
    own.check_invariant([job_id])


def test_row_20_a_worker_cut_off_stops_before_another_begins(cut_off: tuple[OwnYard, Relay]) -> None:
    own, relay = cut_off
    worker = own.start_worker()
    [job_id] = own.hand_in("sleep", seconds=20)
    own.wait_to_begin(job_id)
    relay.cut()
    wait_until(lambda: "attempt stopped" in worker.output(), 20, "the worker to stop by itself")
    relay.mend()
    own.wait_to_begin(job_id, attempt=2)
    assert own.fault_count(FaultKind.LATE_RESULT) <= 1
    assert worker.process.poll() is None


def test_row_21_a_worker_without_its_ledger_goes_on_when_it_is_back(cut_off: tuple[OwnYard, Relay]) -> None:
    own, relay = cut_off
    worker = own.start_worker()
    relay.cut()
    job_ids = own.hand_in(how_many=3)
    for job_id in job_ids:
        own.publish([job_id])
    own.wait_until(lambda: "not claimed" in worker.output(), 20, "the messages to come")
    relay.mend()
    own.wait_for(job_ids, Status.SUCCEEDED)
    own.check_invariant(job_ids)


@pytest.mark.skip(reason="row 26 waits for the schedules' policies: what becomes of ticks that beat missed")
def test_row_26_missed_ticks_are_as_the_schedule_says() -> None: ...


def says_that_it_waits(program: Program) -> bool:
    return "ledger is away" in program.output()


def test_row_21_processes_that_start_while_the_ledger_is_away_wait_for_it(
    cut_off: tuple[OwnYard, Relay],
) -> None:
    own, relay = cut_off
    relay.cut()
    worker = own.start("worker", *own.worker_command("threads", 1))
    keeper, api, beat = (
        own.start("keeper", "jobyard.worker.keeper_thread"),
        own.start("api", "api"),
        start_beat(own),
    )
    told_to_stop = own.start("worker", *own.worker_command("threads", 1))
    waiting = [worker, keeper, api, told_to_stop]
    for program in waiting:
        own.wait_until(partial(says_that_it_waits, program), 40, f"{program.name} to say so")
    sleep(3)  # in which each tries again
    assert [program.output().count("ledger is away") for program in waiting] == [1] * len(waiting)
    assert "Traceback" not in "".join(program.output() for program in waiting)
    told_to_stop.stop()
    relay.mend()
    own.wait_until(lambda: answers(own.port("API")), 40, "the API")
    own.wait_until(lambda: "keeping" in keeper.output(), 20, "the keeper")
    own.wait_for(own.hand_in(), Status.SUCCEEDED)
    assert {program.process.poll() for program in (worker, keeper, api, beat)} == {None}
