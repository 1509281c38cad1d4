"""A ledger on PostgreSQL that does not say whether it has committed (row 21 of the matrix).

Its server is restarted in the middle of commits, frozen for longer than anybody waits, or its answer is lost.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import make_url, select, text

from jobyard.jobs.database.schema import job
from jobyard.jobs.job import Status
from tests.support.own_yard import QUICK, OwnYard, opened
from tests.support.postgresql import new_database
from tests.support.postgresql_server import PostgreSQLServer, postgresql_server
from tests.support.proxy import Proxy, proxy_to

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]

TASK: Final = "/v1/tasks/bad.deed/jobs"
UNKNOWN: Final = "urn:jobyard:problem:outcome-unknown"
# The ways in which jobs come in: by the fast lane, the ordinary way, a transaction of several statements,
# several at once, and as many as the process beside the server commits.
WAYS: Final[dict[str, dict[str, Any]]] = {
    "plain": {},
    "with a key": {"headers": {"Idempotency-Key": "once"}},
    "with a tag": {"params": {"tag": "one"}},
    "three": {"times": 3},
    "many": {"times": 20},
}
every_way = pytest.mark.parametrize("way", WAYS)


@contextmanager
def yard_on(url: str, home: Path, **settings: str) -> Iterator[OwnYard]:
    with opened(home, QUICK | settings | {"JOBYARD_LEDGER__URL": url}) as own:
        yield own


@pytest.fixture
def server() -> Iterator[PostgreSQLServer]:
    with postgresql_server() as started:
        yield started


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[OwnYard, Proxy]]:
    """A yard whose processes reach their ledger through a proxy; the test reaches it directly."""
    with new_database() as url:
        target = make_url(url)
        with proxy_to(target.port or 5432) as proxy, yard_on(url, tmp_path) as own:
            through = target.set(host="127.0.0.1", port=proxy.listens_on)
            own.settings["JOBYARD_LEDGER__URL"] = through.render_as_string(hide_password=False)
            yield own, proxy


def post(own: OwnYard, way: str = "plain", marker: str = "") -> httpx.Response:
    options = dict(WAYS[way])
    deed = {"then": "return", "journal": str(own.journal), "text": marker}
    times = options.pop("times", 0)
    path, body = (f"{TASK}/bulk", [deed] * times) if times else (TASK, deed)
    return httpx.post(f"http://127.0.0.1:{own.port('API')}{path}", json=body, timeout=60, **options)


def ids_in(answer: httpx.Response) -> list[str]:
    content = answer.json()
    return content["ids"] if "ids" in content else [content["id"]]


def committed(own: OwnYard) -> list[str]:
    with own.ledger.database.reading() as connection:
        return list(connection.execute(select(job.c.id).where(job.c.task == "bad.deed")).scalars())


def start_api_with_its_process(own: OwnYard) -> list[str]:
    """Start an API whose process beside it is there and connected; return the jobs that this took."""
    api = own.start_api()
    ids = ids_in(post(own, "many"))
    own.wait_until(lambda: "beside the server" in api.output(), 60, "a process beside the server")
    return ids + ids_in(post(own, "many"))


def waits_for_its_answer(own: OwnYard) -> bool:
    query = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event = 'SyncRep' AND (query LIKE 'INSERT INTO job%' OR query = 'COMMIT')"
    )
    with own.ledger.database.reading() as connection:
        return bool(connection.execute(query).scalar_one())


@every_way
def test_what_was_committed_when_the_server_was_restarted_is_accepted_once(
    server: PostgreSQLServer, tmp_path: Path, way: str
) -> None:
    with yard_on(server.url, tmp_path) as own, ThreadPoolExecutor(1) as caller:
        before = start_api_with_its_process(own)
        server.keep_commits_waiting()
        answer = caller.submit(post, own, way)
        own.wait_until(lambda: waits_for_its_answer(own), 20, "the commit")
        server.restart_amid_commits()
        accepted = answer.result(60)
        assert accepted.status_code == 202, accepted.text
        assert sorted(committed(own)) == sorted([*before, *ids_in(accepted)])
        own.start_worker()
        own.wait_for(ids_in(accepted), Status.SUCCEEDED, 60)
        own.check_invariant(ids_in(accepted))


@pytest.mark.parametrize("committer", ["true", "false"])
def test_under_restarts_every_answer_is_true(
    server: PostgreSQLServer, tmp_path: Path, committer: str
) -> None:
    callers, is_over = 24, Event()
    accepted, unknown, refused = [], [], []

    def call(own: OwnYard) -> None:
        while not is_over.is_set():
            answer = post(own)
            if answer.status_code == 202:
                accepted.extend(ids_in(answer))
                continue
            assert answer.status_code == 503, answer.text
            if answer.json()["type"] == UNKNOWN:
                unknown.extend(ids_in(answer))
            else:
                refused.append(answer.text)
                sleep(0.1)

    with yard_on(server.url, tmp_path, JOBYARD_API__COMMITTER=committer) as own:
        own.start_api()
        with ThreadPoolExecutor(callers) as pool:
            calls = [pool.submit(call, own) for _ in range(callers)]
            for _ in range(5):
                sleep(1)
                server.restart()
            is_over.set()
        for one in calls:
            one.result()
        there = set(committed(own))
        assert len(accepted) == len(set(accepted))
        assert set(accepted) <= there
        assert there <= {*accepted, *unknown}, "a plain 503 means that there is no job"


@pytest.mark.parametrize("way", ["plain", "many"])
def test_a_server_that_is_frozen_for_longer_than_a_statement_may_take(
    server: PostgreSQLServer, tmp_path: Path, way: str
) -> None:
    with yard_on(server.url, tmp_path, JOBYARD_LEDGER__TIMEOUT="4") as own, ThreadPoolExecutor(1) as caller:
        before = start_api_with_its_process(own) + ids_in(post(own))
        # Then every connection is idle, and the next statement goes over one of them.
        own.wait_until(lambda: all(job.published_at for job in own.jobs(before)), 20, "the messages")
        server.freeze()
        answer = caller.submit(post, own, way)
        api = own.programs[-1]
        own.wait_until(lambda: "not known whether jobs were committed" in api.output(), 20, "the doubt")
        server.thaw()
        accepted = answer.result(60)
        assert accepted.status_code == 202, accepted.text
        assert sorted(committed(own)) == sorted([*before, *ids_in(accepted)])
        assert "was lost" not in api.output(), "the process beside the server was not frozen"


@pytest.mark.parametrize("way", ["plain", "with a key", "many"])
def test_a_server_that_stays_frozen_leaves_the_outcome_unknown_and_the_caller_gets_the_ids(
    server: PostgreSQLServer, tmp_path: Path, way: str
) -> None:
    with yard_on(server.url, tmp_path, JOBYARD_LEDGER__TIMEOUT="1") as own:
        before = start_api_with_its_process(own) + ids_in(post(own))
        # Then every connection is idle, and the next statement goes over one of them.
        own.wait_until(lambda: all(job.published_at for job in own.jobs(before)), 20, "the messages")
        server.freeze()
        answer = post(own, way)
        server.thaw()
        assert (answer.status_code, answer.json()["type"]) == (503, UNKNOWN)
        assert "retry-after" not in answer.headers
        ids = ids_in(answer)
        assert len(ids) == WAYS[way].get("times", 1)
        # The statement was on its way, and the server takes it up where it stood.
        own.wait_until(lambda: len(committed(own)) > len(before), 20, "the rows")
        assert sorted(committed(own)) == sorted([*before, *ids])
        if way == "with a key":
            assert ids_in(post(own, way)) == ids
        own.start_worker()
        own.wait_for(ids, Status.SUCCEEDED, 60)
        own.check_invariant(ids)


@every_way
def test_a_connection_that_is_cut_between_commit_and_answer(proxied: tuple[OwnYard, Proxy], way: str) -> None:
    own, proxy = proxied
    before = start_api_with_its_process(own)
    proxy.hangs_up_after = b"COMMIT" if way == "with a tag" else b"the marker"
    accepted = post(own, way, "the marker")
    assert proxy.swallowed == 1
    assert accepted.status_code == 202, accepted.text
    assert sorted(committed(own)) == sorted([*before, *ids_in(accepted)])


@pytest.mark.parametrize("call", ["deed.delay(order)", "asyncio.run(deed.submit_async(order))"])
def test_a_program_whose_connection_is_cut_between_commit_and_answer_has_one_job(
    proxied: tuple[OwnYard, Proxy], call: str
) -> None:
    own, proxy = proxied
    proxy.hangs_up_after = b"the marker"
    ended = own.run_code(_program(f"print({call}.id)"))
    assert (ended.returncode, proxy.swallowed) == (0, 1), ended.stderr
    assert committed(own) == [ended.stdout.strip()]


@pytest.mark.parametrize(
    "call", ["deed.submit_many([order] * 2)", "asyncio.run(deed.submit_async(order, tags=('one',)))"]
)
def test_a_program_that_gets_no_answer_is_told_the_ids(proxied: tuple[OwnYard, Proxy], call: str) -> None:
    own, proxy = proxied
    before = own.run_code(_program("print(deed.delay(order).id)")).stdout.split()
    own.settings["JOBYARD_LEDGER__TIMEOUT"] = "1"
    proxy.swallow_answers_after = b"COMMIT" if "tags" in call else b"the marker"
    code = f"try:\n    {call}\nexcept OutcomeUnknownError as error:\n    print(*error.job_ids)"
    ended = own.run_code(_program(code))
    assert proxy.swallowed >= 1, ended.stderr
    assert sorted(committed(own)) == sorted([*before, *ended.stdout.split()])
    assert len(committed(own)) == (2 if "tags" in call else 3)


def _program(code: str) -> str:
    return (
        "import asyncio\nfrom jobyard import OutcomeUnknownError\n"
        "from tests.support.bad_tasks import Deed, deed\n"
        f"order = Deed(text='the marker')\n{code}"
    )


def test_a_cancellation_whose_answer_was_lost_may_be_asked_for_again(
    proxied: tuple[OwnYard, Proxy],
) -> None:
    own, proxy = proxied
    own.start_api()
    [job_id] = ids_in(post(own))
    url = f"http://127.0.0.1:{own.port('API')}/v1/jobs/{job_id}/cancel"
    proxy.hangs_up_after = b"COMMIT"
    first, second = httpx.post(url, timeout=30), httpx.post(url, timeout=30)
    assert (first.status_code, first.json()["type"]) == (503, UNKNOWN)
    assert own.job(job_id).status is Status.CANCELLED
    assert (second.status_code, second.json()["detail"].split(",")[0]) == (409, f"job {job_id} is cancelled")
