"""Lists of jobs: filters, pages, and what is counted."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from jobyard.jobs.clock import db_now, utc_now
from jobyard.jobs.database.schema import job, reported_state
from jobyard.jobs.errors import JobNotFoundError
from jobyard.jobs.job import ReportedState, Status, Succeeded, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.reported_states import write_reported_states
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.job_queries import (
    count_messages,
    finished_among,
    get_job,
    get_reported_state,
    queue_figures,
    queues_with_messages,
    root_of,
)
from jobyard.jobs.reading.search import BadCursorError, decode_cursor, encode_cursor, list_jobs
from jobyard.settings.retention import RetentionRule
from tests.support.ledger_jobs import accepted, claimed, dead, found


def ids(ledger: Ledger, wanted: JobFilter) -> list[str]:
    return [job.id for job in list_jobs(ledger.database, wanted, 100).jobs]


def test_a_list_is_newest_first_and_every_filter_narrows_it(own_ledger: Ledger) -> None:
    first = accepted(own_ledger, queue="email", tags=("a", "b"))
    second = accepted(own_ledger, task="bad.other", delay=timedelta(hours=1))
    third = dead(own_ledger)
    assert ids(own_ledger, JobFilter()) == [third, second, first]
    assert ids(own_ledger, JobFilter(status=[Status.DEAD, Status.SCHEDULED])) == [third, second]
    assert ids(own_ledger, JobFilter(task="bad.other")) == [second]
    assert ids(own_ledger, JobFilter(queue="email")) == [first]
    assert ids(own_ledger, JobFilter(tag="b")) == [first]
    assert ids(own_ledger, JobFilter(tag="c")) == []
    assert ids(own_ledger, JobFilter(since=utc_now() + timedelta(hours=1))) == []
    assert len(ids(own_ledger, JobFilter(until=utc_now() + timedelta(hours=1)))) == 3


def test_pages_stay_in_place_while_jobs_arrive(own_ledger: Ledger) -> None:
    jobs = [accepted(own_ledger) for _ in range(5)][::-1]
    first = list_jobs(own_ledger.database, JobFilter(), 2)
    accepted(own_ledger)
    second = list_jobs(own_ledger.database, JobFilter(), 2, first.next_cursor)
    third = list_jobs(own_ledger.database, JobFilter(), 2, second.next_cursor)
    seen = [job.id for page in (first, second, third) for job in page.jobs]
    assert seen == jobs
    assert third.next_cursor is None


def test_an_altered_cursor_is_refused(own_ledger: Ledger) -> None:
    cursor = encode_cursor(accepted(own_ledger))
    assert encode_cursor(decode_cursor(cursor)) == cursor
    for wrong in ("", "x", cursor[:-1], cursor + "A", cursor[:-1] + "!", "ü"):
        with pytest.raises(BadCursorError):
            list_jobs(own_ledger.database, JobFilter(), 2, wrong)


def test_the_figures_of_the_queues_count_what_moves(own_ledger: Ledger) -> None:
    accepted(own_ledger, queue="email")
    accepted(own_ledger, queue="email", delay=timedelta(hours=1))
    claimed(own_ledger, queue="images")
    dead(own_ledger)
    figures = queue_figures(own_ledger.database)
    assert figures["email"].counts == {Status.QUEUED: 1, Status.SCHEDULED: 1}
    assert figures["images"].counts == {Status.RUNNING: 1}
    assert set(figures) == {"email", "images"}
    oldest = figures["email"].oldest_queued_at
    assert oldest is not None
    assert abs(utc_now() - oldest) < timedelta(seconds=30)


def test_the_queues_with_messages_are_found_and_their_jobs_counted_up_to_a_bound(own_ledger: Ledger) -> None:
    for queue in ("email", "images", "images", "images"):
        own_ledger.mark_published([accepted(own_ledger, queue=queue)])
    accepted(own_ledger, queue="unpublished")
    own_ledger.mark_published([claimed(own_ledger, queue="running")[0]])
    assert queues_with_messages(own_ledger.database) == ["email", "images"]
    counts = [count_messages(own_ledger.database, "images", at_most=most) for most in (2, 3, 4)]
    assert counts == [2, 3, 3]
    assert count_messages(own_ledger.database, "running", at_most=5) == 0


def test_only_what_has_ended_is_among_the_finished(own_ledger: Ledger) -> None:
    ended, waiting = dead(own_ledger), accepted(own_ledger)
    assert finished_among(own_ledger.database, [ended, waiting]) == {ended}


def test_the_first_ancestor_is_found_and_those_that_are_gone_end_the_search(own_ledger: Ledger) -> None:
    database = own_ledger.database
    first = accepted(own_ledger)
    second = accepted(own_ledger, parent=first)
    third = accepted(own_ledger, parent=second)
    assert [root_of(database, job_id) for job_id in (first, second, third)] == [first] * 3
    gone, unknown = new_id(), new_id()
    assert root_of(database, accepted(own_ledger, parent=gone)) == gone
    assert root_of(database, unknown) == unknown


def test_what_was_reported_goes_with_its_job(own_ledger: Ledger) -> None:
    job_id, attempt = claimed(own_ledger)
    write_reported_states(own_ledger.database, [ReportedState(job_id, attempt, "PROGRESS", "1")])
    assert get_reported_state(own_ledger.database, found(own_ledger, job_id)) is not None
    own_ledger.settle([Succeeded(job_id, attempt, "1")])
    with own_ledger.database.writing() as connection:
        connection.execute(update(job).values(finished_at=db_now(plus=-timedelta(days=3))))
    assert own_ledger.prune([RetentionRule(timedelta(days=1))]) == 1
    with own_ledger.database.reading() as connection:
        assert not connection.execute(select(reported_state)).all()


@pytest.mark.parametrize("odd", ["", "a\x00b", "\ud800", "%", "a" * 10_000], ids=lambda odd: ascii(odd[:10]))
def test_an_id_that_no_job_can_have_is_not_found(own_ledger: Ledger, odd: str) -> None:
    with pytest.raises(JobNotFoundError):
        get_job(own_ledger.database, odd)
