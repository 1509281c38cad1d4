"""Finding jobs: every filter, in steps that look at a few jobs at a time."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

import jobyard.jobs.reading.search
from jobyard.jobs.clock import utc_now
from jobyard.jobs.database.schema import job
from jobyard.jobs.job import Cause, Failed, Failure, NewJob, Status, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.search import count_jobs, each_page, list_jobs, matching_ids
from tests.support.ledger_jobs import accepted, claimed, dead

PAYLOADS = (
    '{"to":["ada@example.org","bob@example.org"],"options":{"size":5,"deep":{"on":true}},"note":null}',
    '{"to":"bob@example.org","quote":"it\'s \\"so\\" 100% \\\\ _x_","price":1.5}',
    '{"items":[{"sku":"a-1"},{"sku":"b-2"}],"name":"Zo\\u00eb"}',
    '{"name":"Zoë","empty":"","zero":"\\u0000"}',
)
NUMBERS = (
    *('{"n":1}', '{"n":1.0}', '{"n":1e0}', '{"n":"1"}', '{"n":[0,1]}', '{"n":true}'),  # 0 to 5
    *('{"n":1e-7}', '{"n":0.0000001}', '{"n":"1e-7"}'),  # 6 to 8
    *('{"n":12300}', '{"n":1.23e4}', '{"n":12300.0}', '{"n":"12300"}', '{"n":-12300}'),  # 9 to 13
    *('{"n":0}', '{"n":-0.0}', '{"n":null}'),  # 14 to 16
    *('{"n":9007199254740993}', '{"n":9007199254740992.0}'),  # 17 and 18
    *('{"n":1e9999999999999999999}', f'{{"n":{"9" * 5000}}}'),  # 19 and 20
)


@pytest.fixture(params=[2, 5000])
def examined(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many jobs one step looks at: few enough to need several, and as many as it is."""
    monkeypatch.setattr(jobyard.jobs.reading.search, "MAX_EXAMINED", request.param)
    monkeypatch.setattr(jobyard.jobs.reading.search, "MAX_COUNTED", max(request.param * 50, 10_000))
    return int(request.param)


def found(ledger: Ledger, **wanted: Any) -> list[str]:
    return [one.id for page in each_page(ledger.database, JobFilter(**wanted), 3) for one in page]


@pytest.mark.usefixtures("examined")
def test_every_filter_finds_what_fits_and_nothing_else(own_ledger: Ledger) -> None:
    plain = accepted(own_ledger, queue="email", tags=("a", "b"))
    other = accepted(own_ledger, task="bad.other", delay=timedelta(hours=1))
    child = accepted(own_ledger, parent=plain)
    held, _ = claimed(own_ledger)
    gone = dead(own_ledger)
    job_id, attempt = claimed(own_ledger)
    own_ledger.settle(
        [Failed(job_id, attempt, Failure(Cause.TIME_LIMIT, "Slow", "100% Too_slow\\"), timedelta(hours=1))]
    )
    everything = [job_id, gone, held, child, other, plain]
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, everything),
        ({"status": [Status.DEAD]}, [gone]),
        ({"status": [Status.DEAD, Status.SCHEDULED, Status.RETRYING]}, [job_id, gone, other]),
        ({"task": "bad.other"}, [other]),
        ({"task": "bad.deed", "status": [Status.QUEUED]}, [child, plain]),
        ({"queue": "email"}, [plain]),
        ({"tag": "b"}, [plain]),
        ({"tag": "b", "status": [Status.DEAD]}, []),
        ({"cause": Cause.TIME_LIMIT}, [job_id]),
        ({"error": "ValueError"}, [gone]),
        ({"text": "AS ORDER"}, [gone]),
        ({"text": "100% too_SLOW\\"}, [job_id]),
        ({"text": "100_ Too"}, []),
        ({"worker": "worker"}, [job_id, gone, held]),
        ({"worker": "work"}, []),
        ({"worker": "WORKER"}, []),
        ({"worker": "%"}, []),
        ({"parent": plain}, [child]),
        ({"since": utc_now() + timedelta(hours=1)}, []),
        ({"until": utc_now() + timedelta(hours=1), "since": utc_now() - timedelta(hours=1)}, everything),
        ({"until": utc_now() - timedelta(hours=1)}, []),
        ({"ended_since": utc_now() - timedelta(hours=1)}, [gone]),
        ({"ended_until": utc_now() + timedelta(hours=1), "text": "as"}, [gone]),
        ({"ended_since": utc_now() + timedelta(hours=1)}, []),
        ({"ended_until": utc_now() - timedelta(hours=1)}, []),
        ({"ended_since": utc_now() - timedelta(hours=1), "status": [Status.QUEUED]}, []),
    ]
    for wanted, ids in cases:
        assert found(own_ledger, **wanted) == ids, wanted
        assert matching_ids(own_ledger.database, JobFilter(**wanted), 100) == ids, wanted
        assert matching_ids(own_ledger.database, JobFilter(**wanted), 1) == ids[:1], wanted
        assert count_jobs(own_ledger.database, JobFilter(**wanted)) == jobyard.jobs.reading.search.Count(
            len(ids), True
        )


@pytest.mark.usefixtures("examined")
@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({"to": "bob@example.org"}, [1, 0]),
        ({"to": "ada@example.org", "options.size": "5"}, [0]),
        ({"to": "ada@example.org", "options.size": "6"}, []),
        ({"options.deep.on": "true"}, [0]),
        ({"options.deep.on": "True"}, []),
        ({"options.deep": "on"}, []),
        ({"options": "5"}, []),
        ({"note": "null"}, [0]),
        ({"quote": 'it\'s "so" 100% \\ _x_'}, [1]),
        ({"quote": "' OR 1=1 --"}, []),
        ({"price": "1.5"}, [1]),
        ({"price": "1.50"}, [1]),
        ({"price": "1,5"}, []),
        ({"items.sku": "b-2"}, [2]),
        ({"items.0.sku": "a-1"}, []),
        ({"name": "Zoë"}, [3, 2]),
        ({"empty": ""}, [3]),
        ({"zero": "\x00"}, [3]),
        ({"no.such": "x"}, []),
        ({"'; DROP TABLE job": "x"}, []),
    ],
)
def test_a_field_of_the_payload_is_found_by_its_path(
    own_ledger: Ledger, wanted: dict[str, str], numbers: list[int]
) -> None:
    ids = [accepted(own_ledger, payload=payload) for payload in PAYLOADS]
    assert found(own_ledger, payload=wanted) == [ids[number] for number in numbers]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ("1", [0, 1, 2, 3, 4]),
        ("1.0", [0, 1, 2, 4]),
        ("1e-7", [6, 7, 8]),
        ("0.0000001", [6, 7]),
        ("1E-07", [6, 7]),
        ("12300", [9, 10, 11, 12]),
        ("1.23e4", [9, 10, 11]),
        ("-12300", [13]),
        ("012300", []),
        ("0", [4, 14, 15]),
        ("9007199254740993", [17]),
        ("9007199254740992", [18]),
        ("1e9999999999999999999", [19]),
        ("9" * 5000, [20]),
        ("true", [5]),
        ("null", [16]),
        ("NaN", []),
        ("Infinity", []),
        ("1_0", []),
        ("", []),
    ],
)
def test_numbers_of_a_payload_compare_as_numbers(own_ledger: Ledger, wanted: str, numbers: list[int]) -> None:
    ids = [accepted(own_ledger, payload=payload) for payload in NUMBERS]
    assert [ids.index(one) for one in reversed(found(own_ledger, payload={"n": wanted}))] == numbers


MESSAGES = (
    "Frist ÜBERSCHRITTEN",
    "Straße",
    "STRASSE",
    "ΟΔΟΣΑ",
    "İstanbul",
    "ВРЕМЯ 100%_",
    "\u212aelvin",
    "Ǆ",
)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ("überschritten", [0]),
        ("Überschritten", [0]),
        ("uberschritten", []),
        ("strasse", [2]),
        ("STRAßE", [1]),
        ("οδος", []),
        ("ΟΔΟΣ", [3]),
        ("istanbul", [4]),
        ("время 100%_", [5]),
        ("время 100__", []),
        ("kelvin", [6]),
        ("ǆ", [7]),
        ("%", [5]),
    ],
)
def test_words_of_a_failure_are_found_in_any_case(
    own_ledger: Ledger, wanted: str, numbers: list[int]
) -> None:
    ids = []
    for message in MESSAGES:
        job_id, attempt = claimed(own_ledger)
        own_ledger.settle([Failed(job_id, attempt, Failure(Cause.EXCEPTION, "E", message), retry_in=None)])
        ids.append(job_id)
    assert [ids.index(one) for one in reversed(found(own_ledger, text=wanted))] == numbers


@pytest.mark.usefixtures("examined")
def test_jobs_are_found_by_when_they_ended(own_ledger: Ledger) -> None:
    now = utc_now()
    waiting = accepted(own_ledger)
    ids = []
    for hours in range(5):
        ids.append(dead(own_ledger))
        with own_ledger.database.writing() as connection:
            ended = update(job).where(job.c.id == ids[-1]).values(finished_at=now + timedelta(hours=hours))
            connection.execute(ended)
    assert waiting not in found(own_ledger, ended_since=now)
    first, second = now + timedelta(hours=1), now + timedelta(hours=3)
    for more in ({}, {"task": "bad.deed"}, {"status": [Status.DEAD]}, {"error": "ValueError"}):
        assert found(own_ledger, ended_since=first, ended_until=second, **more) == [ids[2], ids[1]]
        assert found(own_ledger, ended_since=second, **more) == [ids[4], ids[3]]
        assert found(own_ledger, ended_until=first, **more) == [ids[0]]
    for extreme in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        moment = datetime.fromisoformat(extreme)
        assert found(own_ledger, ended_since=moment, ended_until=moment) == []


def test_a_page_may_be_empty_and_still_go_on(own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobyard.jobs.reading.search, "MAX_EXAMINED", 3)
    wanted = accepted(own_ledger, queue="email")
    for _ in range(5):
        accepted(own_ledger)
    first = list_jobs(own_ledger.database, JobFilter(queue="email"), 10)
    assert (first.jobs, first.next_cursor is None) == ([], False)
    second = list_jobs(own_ledger.database, JobFilter(queue="email"), 10, first.next_cursor)
    assert [one.id for one in second.jobs] == [wanted]


def test_a_list_stays_in_place_while_jobs_arrive_and_end(own_ledger: Ledger) -> None:
    ids = [accepted(own_ledger) for _ in range(6)][::-1]
    first = list_jobs(own_ledger.database, JobFilter(), 2)
    accepted(own_ledger)
    own_ledger.cancel(ids[3])
    rest = list_jobs(own_ledger.database, JobFilter(), 10, first.next_cursor)
    assert [one.id for one in first.jobs + rest.jobs] == ids


def test_many_are_estimated_and_said_to_be(own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobyard.jobs.reading.search, "MAX_EXAMINED", 10)
    monkeypatch.setattr(jobyard.jobs.reading.search, "MAX_COUNTED", 20)
    own_ledger.accept([NewJob(id=new_id(), task="any", payload="{}", max_attempts=1) for _ in range(50)])
    if own_ledger.database.engine.dialect.name == "postgresql":
        with own_ledger.database.engine.begin() as connection:
            connection.exec_driver_sql("ANALYZE job")
    counted = count_jobs(own_ledger.database, JobFilter(text="%'; DROP TABLE job"))
    assert counted.is_exact
    counted = count_jobs(own_ledger.database, JobFilter(task="any"))
    assert not counted.is_exact
    assert counted.jobs == (50 if own_ledger.database.engine.dialect.name == "postgresql" else 20)


def test_an_id_whose_clock_was_a_little_wrong_is_found_by_its_time(own_ledger: Ledger) -> None:
    job_id = accepted(own_ledger)
    with own_ledger.database.writing() as connection:
        earlier = replace(get(own_ledger, job_id)).created_at - timedelta(minutes=5)
        connection.execute(update(job).values(created_at=earlier))
    assert found(own_ledger, until=earlier + timedelta(minutes=1)) == [job_id]
    assert found(own_ledger, since=earlier + timedelta(minutes=1)) == []


def get(ledger: Ledger, job_id: str) -> Any:
    return next(one for one in list_jobs(ledger.database, JobFilter(), 10).jobs if one.id == job_id)
