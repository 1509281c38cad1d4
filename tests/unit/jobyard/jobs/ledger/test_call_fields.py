"""What a call may carry besides options: the caller's own id, headers, and limits of the job's own."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from alembic import command
from sqlalchemy import Engine, create_engine, text

from jobyard.jobs.database.migrate import _config, migrate
from jobyard.jobs.database.schema_version import EXPECTED_VERSION
from jobyard.jobs.job import Acceptance, Cause, Failed, Failure, NewJob, Status, Verdict
from jobyard.jobs.keeper import duties
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.grouped_ledger import GroupedLedger
from jobyard.jobs.ledger.in_transaction import accept_within, accept_within_async
from jobyard.jobs.reading.job_queries import get_attempts
from tests.support.ledger_jobs import accepted, claimed, found, new

HEADERS = {"tenant": "ümlaut 'quoted'", "retries": 3, "share": 0.5, "is_test": True}
CALL = {
    "external_id": "order 7/ü",
    "headers": json.dumps(HEADERS),
    "time_limit": 12.5,
    "soft_time_limit": 10,
}


def verdicts(acceptances: list[Acceptance]) -> list[Verdict]:
    return [acceptance.verdict for acceptance in acceptances]


def test_what_a_call_carries_is_in_the_row_and_in_the_claim(own_ledger: Ledger) -> None:
    plain = accepted(own_ledger)
    job_id = accepted(own_ledger, **CALL)
    job = found(own_ledger, job_id)
    assert (job.external_id, job.headers) == ("order 7/ü", HEADERS)
    assert (job.time_limit, job.soft_time_limit) == (12.5, 10)
    [alone] = own_ledger.claim([job_id], "worker")
    assert alone[-4:] == ("order 7/ü", CALL["headers"], 12.5, 10)
    [other] = own_ledger.claim([plain, job_id], "worker")
    assert other[-4:] == (None,) * 4
    assert found(own_ledger, plain).headers is None


def test_many_carry_headers_and_limits_in_one_transaction(own_ledger: Ledger) -> None:
    shared = {name: value for name, value in CALL.items() if name != "external_id"}
    jobs = [new(**shared) for _ in range(20)] + [new(tags=("t",), **shared), new()]
    assert verdicts(own_ledger.accept(jobs)) == [Verdict.NEW] * 22
    assert {found(own_ledger, job.id).time_limit for job in jobs[:21]} == {12.5}
    assert found(own_ledger, jobs[-1].id).time_limit is None


def test_a_second_call_with_the_same_id_is_the_first_job_whatever_it_holds(own_ledger: Ledger) -> None:
    first = accepted(own_ledger, external_id="mine")
    [again] = own_ledger.accept([new(external_id="mine", payload='{"x": 1}', task="other.task")])
    assert again == Acceptance(first, Verdict.REPEATED)
    own_ledger.cancel(first)
    [tagged] = own_ledger.accept([new(external_id="mine", tags=("a", "b"))])
    assert tagged == Acceptance(first, Verdict.REPEATED)
    assert found(own_ledger, first).status is Status.CANCELLED
    twice = own_ledger.accept([new(external_id="two"), new(external_id="two"), new()])
    assert verdicts(twice) == [Verdict.NEW, Verdict.REPEATED, Verdict.NEW]
    assert twice[0].job_id == twice[1].job_id


def test_an_id_that_is_called_at_once_from_many_threads_is_one_job(own_ledger: Ledger) -> None:
    grouped = GroupedLedger(own_ledger, "worker")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: grouped.accept([new(external_id="one")]), range(40)))
    assert len({acceptance.job_id for [acceptance] in answers}) == 1
    assert verdicts([acceptance for [acceptance] in answers]).count(Verdict.NEW) == 1


def test_a_call_in_the_callers_transaction_carries_the_same(own_ledger: Ledger) -> None:
    engine: Engine = create_engine(own_ledger.database.engine.url)
    with engine.begin() as connection:
        [first, again] = accept_within(connection, [new(**CALL), new(external_id=CALL["external_id"])])
        [plain] = accept_within(connection, [new()])
    assert (first.verdict, again) == (Verdict.NEW, Acceptance(first.job_id, Verdict.REPEATED))
    job = found(own_ledger, first.job_id)
    assert (job.external_id, job.headers, job.time_limit, job.soft_time_limit) == (
        *(CALL["external_id"], HEADERS),
        *(12.5, 10),
    )
    assert found(own_ledger, plain.job_id).external_id is None
    with engine.connect() as connection:
        accept_within(connection, [new(external_id="rolled back")])
        connection.rollback()
    [now] = own_ledger.accept([new(external_id="rolled back")])
    assert now.verdict is Verdict.NEW
    engine.dispose()


@pytest.mark.postgresql
def test_a_call_in_a_transaction_of_psycopg_carries_the_same(postgresql_ledger: Ledger) -> None:
    url = postgresql_ledger.database.engine.url.set(drivername="postgresql")
    text_url = url.render_as_string(hide_password=False)
    with psycopg.connect(text_url) as connection:
        [first, plain] = accept_within(connection, [new(**CALL), new()])

    async def again() -> Acceptance:
        async with await psycopg.AsyncConnection.connect(text_url) as other:
            [acceptance] = await accept_within_async(other, [new(**CALL)])
        return acceptance

    assert asyncio.run(again()) == Acceptance(first.job_id, Verdict.REPEATED)
    job = found(postgresql_ledger, first.job_id)
    assert (job.external_id, job.headers, job.time_limit) == (CALL["external_id"], HEADERS, 12.5)
    assert found(postgresql_ledger, plain.job_id).headers is None


@pytest.mark.postgresql
def test_two_transactions_with_one_id_wait_for_each_other(postgresql_ledger: Ledger) -> None:
    engine = create_engine(postgresql_ledger.database.engine.url)
    with ThreadPoolExecutor(1) as thread:
        with engine.begin() as first:
            [ours] = accept_within(first, [new(external_id="shared")])

            def call_too() -> Acceptance:
                with engine.begin() as second:
                    [theirs] = accept_within(second, [new(external_id="shared", unique_key="u")])
                return theirs

            theirs = thread.submit(call_too)
        assert theirs.result(20) == Acceptance(ours.job_id, Verdict.REPEATED)
    engine.dispose()


def test_the_message_of_a_job_knows_its_own_limit_when_the_keeper_sends_it(own_ledger: Ledger) -> None:
    job_id, plain = accepted(own_ledger, time_limit=900.0), accepted(own_ledger)
    with own_ledger.database.writing() as connection:
        connection.execute(text("UPDATE job SET resend_at = created_at"))
        unsent = duties.republish_unsent(connection, 10, timedelta(seconds=1))
    assert {job.id: job.time_limit for job in unsent} == {job_id: 900.0, plain: None}


def test_the_module_of_an_exception_is_kept_with_its_attempt(own_ledger: Ledger) -> None:
    job_id, attempt = claimed(own_ledger)
    failure = Failure(Cause.EXCEPTION, "Wrong", "no", "the traceback", "some.module")
    own_ledger.settle([Failed(job_id, attempt, failure, retry_in=None)])
    [ended] = get_attempts(own_ledger.database, job_id)
    assert ended.failure == failure


def test_a_ledger_from_before_takes_calls_and_an_older_process_goes_on_beside_it(own_ledger: Ledger) -> None:
    database, before = own_ledger.database, accepted(own_ledger)
    with database.engine.connect() as connection:
        command.downgrade(_config(connection), "0009")
        connection.commit()
    assert migrate(database) == EXPECTED_VERSION
    assert found(own_ledger, before).external_id is None
    with database.engine.begin() as connection:  # what a process of the version before writes
        connection.execute(_OLD_INSERT, {"id": (old := new()).id})
        if database.dialect == "postgresql":
            connection.execute(_OLD_CALL)
    assert len(own_ledger.claim([before, old.id], "worker")) == 2
    assert accepted(own_ledger, external_id="mine") == accepted(own_ledger, external_id="mine")


def test_a_migration_that_ended_before_its_index_is_taken_up_again(own_ledger: Ledger) -> None:
    with own_ledger.database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0009'"))
    with own_ledger.database.engine.connect() as connection:
        command.upgrade(_config(connection), "0010")
        connection.commit()
    job: NewJob = new(external_id="mine")
    assert own_ledger.accept([job, new(external_id="mine")])[1].job_id == job.id


_OLD_INSERT = text(
    "INSERT INTO job (id, task, queue, priority, status, payload, max_attempts, run_at, created_at,"
    " resend_at) SELECT :id, task, queue, priority, status, payload, max_attempts, run_at, created_at,"
    " resend_at FROM job"
)
_OLD_CALL = text(
    "SELECT * FROM jobyard.accept(task => 'a', payload => '{}', queue => 'default', priority => 4,"
    " max_attempts => 3, delay => NULL, run_at => NULL, expires_in => NULL, unique_key => NULL,"
    " idempotency_key => NULL, request_hash => NULL, tags => '{}', parent => NULL)"
)
