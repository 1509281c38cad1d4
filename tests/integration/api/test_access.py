"""Who may call: this machine without a key, others with one; under what name; and what prevents a start."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from jobyard.jobs.ledger import Ledger
from jobyard.settings import Settings
from tests.support.api_calls import (
    DEEDS,
    MakeYard,
    accepted,
    client_of,
    count_jobs,
    deed,
    ledger_of,
    problem,
    shown,
)
from tests.support.ledger_jobs import dead
from tests.support.processes import YardProcesses, answers
from tests.support.waiting import wait_until

KEY, OTHER_KEY = "a-key-of-some-length", "schlüssel-zwei"
GUARDED = ("/v1/tasks", "/v1/jobs", "/v1/dead-letters", "/v1/queues", "/v1/workers")


@pytest.fixture(scope="module")
def guarded_yard(make_yard: MakeYard) -> YardProcesses:
    """A yard that is open to others, who need a key."""
    yard = make_yard(api__host="0.0.0.0", api__keys=f"{KEY}, {OTHER_KEY}")
    yard.start_api()
    return yard


@pytest.fixture(scope="module")
def guarded(guarded_yard: YardProcesses) -> Iterator[httpx.Client]:
    with client_of(guarded_yard) as client:
        yield client


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.0.0.1:8000", "LOCALHOST:1", "127.8.8.8", "[::1]:8000"]
)
def test_no_key_is_needed_on_this_machine_by_its_own_names(api: httpx.Client, host: str) -> None:
    assert api.get("/v1/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "169.254.169.254",
        "[::",
        "",
        "0.0.0.0",
    ],
)
def test_a_strangers_name_for_this_machine_is_refused(api: httpx.Client, host: str) -> None:
    # A page of evil.example, whose name points at 127.0.0.1 by now, may read whatever that name serves.
    for path in GUARDED:
        problem(api.get(path, headers={"Host": host}), 403, "Host")
    problem(api.post(DEEDS, json={}, headers={"Host": host}), 403, "Host")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1.evil.example:8000", "null", "http://["]
)
def test_a_browser_that_a_strangers_page_sends_is_refused(api: httpx.Client, origin: str) -> None:
    problem(api.post("/v1/files", content=b"abc", headers={"Origin": origin}), 403, "Origin")
    problem(
        api.post("/v1/dead-letters/replay", json={"filter": {}}, headers={"Origin": origin}), 403, "Origin"
    )


@pytest.mark.parametrize("origin", ["http://localhost:8000", "http://127.0.0.1:3000", "http://[::1]:1"])
def test_a_page_of_this_machine_may_call(api: httpx.Client, origin: str) -> None:
    assert api.post("/v1/files", content=b"abc", headers={"Origin": origin}).status_code == 201


def test_a_caller_behind_a_proxy_is_not_this_machine(api: httpx.Client) -> None:
    problem(api.get("/v1/jobs", headers={"X-Forwarded-For": "198.51.100.7"}), 403, None)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "wrong"},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": f"{KEY}, {KEY}"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": KEY},
    ],
)
def test_without_a_right_key_nothing_is_told_or_done(
    guarded: httpx.Client, guarded_yard: YardProcesses, headers: dict[str, str]
) -> None:
    engine = ledger_of(guarded_yard.home)
    before = count_jobs(engine)
    for path in GUARDED:
        answer = guarded.get(path, headers=headers)
        told = problem(answer, 401, "Authorization")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert KEY not in str(told)
    for path in (DEEDS, f"{DEEDS}/bulk", "/email", "/v1/files", "/v1/dead-letters/replay"):
        problem(guarded.post(path, json={}, headers=headers), 401, "Authorization")
    assert count_jobs(engine) == before
    engine.close()


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
def test_each_key_opens_in_either_header_and_by_any_name(guarded: httpx.Client, key: str) -> None:
    raw = key.encode()
    for header in (
        (b"X-API-Key", raw),
        (b"Authorization", b"Bearer " + raw),
        (b"Authorization", b"bearer  " + raw),
    ):
        answer = guarded.post(DEEDS, json={}, headers=[header, (b"Host", b"jobs.example")])
        assert accepted(answer)["status"] == "queued"


def test_what_a_caller_does_is_kept_under_the_fingerprint_of_its_key(
    guarded: httpx.Client, guarded_yard: YardProcesses
) -> None:
    mine, others = {"X-API-Key": KEY}, [(b"Authorization", b"Bearer " + OTHER_KEY.encode())]
    database = ledger_of(guarded_yard.home)
    ledger = Ledger(database, Settings(home=guarded_yard.home))
    letters = [dead(ledger) for _ in range(3)]
    database.close()
    waiting = accepted(guarded.post(DEEDS, params={"delay": 3600}, json={}, headers=mine))["id"]

    guarded.post(f"/v1/jobs/{waiting}/cancel", json={"reason": "a mistake"}, headers=others)
    guarded.post(f"/v1/jobs/{letters[0]}/replay", headers=mine)
    guarded.post(f"/v1/jobs/{letters[1]}/discard", json={"reason": "a test"}, headers=mine)
    order = guarded.post("/v1/dead-letters/replay", json={"ids": letters[2:]}, headers=mine).json()
    guarded.post(order["links"]["stop"], headers=others)

    order = guarded.get(order["links"]["self"], headers=mine).json()
    jobs = [guarded.get(f"/v1/jobs/{job_id}", headers=mine).json() for job_id in (waiting, *letters)]
    notes = [job["interventions"][0] for job in jobs]
    my_name, other_name = "key:d7412d84", notes[0]["actor"]
    assert other_name.startswith("key:")
    assert [note["actor"] for note in notes] == [other_name, my_name, my_name, my_name]
    assert notes[0]["reason"] == "a mistake"
    assert (order["actor"], order["stopped_by"]) == (my_name, other_name)
    assert not any(key in f"{order} {jobs}" for key in (KEY, OTHER_KEY))


def test_a_caller_on_this_machine_without_keys_is_kept_as_local(api: httpx.Client) -> None:
    job_id = deed(api, {"delay": 3600})
    api.post(f"/v1/jobs/{job_id}/cancel")
    [note] = shown(api, job_id)["interventions"]
    assert (note["kind"], note["actor"], note["reason"]) == ("cancelled", "local", None)


def test_health_is_told_without_a_key_and_why_it_is_bad_only_with_one(guarded: httpx.Client) -> None:
    assert guarded.get("/healthz").status_code == 200
    told = guarded.get("/readyz").json()
    hidden = "not ok: a caller with a key is told why"
    assert told == {"ready": True, "checks": {"ledger": "ok", "broker": hidden, "workers": hidden}}
    checks = guarded.get("/readyz", headers={"X-API-Key": KEY}).json()["checks"]
    assert "JOBYARD_BROKER__URL" in checks["broker"]
    assert "no living worker serves" in checks["workers"]


def test_where_no_key_is_set_others_are_not_told_why_health_is_bad(strict_api: httpx.Client) -> None:
    answer = strict_api.get("/readyz", headers={"Host": "evil.example"})
    assert answer.json()["checks"]["workers"] == "not ok: a caller with a key is told why"


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_the_documentation_wants_a_key_which_a_browser_may_send_as_a_password(
    guarded: httpx.Client, api: httpx.Client, path: str
) -> None:
    answer = guarded.get(path)
    problem(answer, 401, "Authorization")
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    problem(guarded.get(path, auth=("anybody", KEY[:-1])), 401, "Authorization")
    for key in (KEY, OTHER_KEY):
        assert guarded.get(path, auth=("anybody", key)).status_code == 200
        assert guarded.get(path, headers=[(b"X-API-Key", key.encode())]).status_code == 200
    problem(guarded.get("/v1/jobs", auth=("anybody", KEY)), 401, "Authorization")
    assert api.get(path).status_code == 200
    problem(api.get(path, headers={"Host": "evil.example"}), 403, "Host")


def test_a_wrong_key_is_refused_before_the_body_is_read(guarded_yard: YardProcesses) -> None:
    head = f"POST {DEEDS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
    with socket.create_connection(("127.0.0.1", guarded_yard.port("API")), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.10", "api.example.org"])
def test_an_api_that_others_can_reach_does_not_start_without_keys(make_yard: MakeYard, host: str) -> None:
    ended = make_yard(api__host=host, api__keys=" , ").run("api")
    assert ended.returncode == 1
    assert "JOBYARD_API__HOST" in ended.stderr
    assert "JOBYARD_API__KEYS" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_api_does_not_start_with_tasks_that_cannot_be_found(make_yard: MakeYard) -> None:
    ended = make_yard(tasks__modules="tests.support.bad_tasks,no.such_module").run("api")
    assert ended.returncode == 1
    assert ended.stderr.startswith("JOBYARD_TASKS__MODULES names 'no.such_module', which cannot be imported")
    assert len(ended.stderr.splitlines()) == 1


WORKER = ("celery", "-q", "-A", "tasks.app", "worker", "-P", "threads", "-c", "1", "-Q", "default")


def test_a_worker_does_not_start_with_tasks_that_cannot_be_found(make_yard: MakeYard) -> None:
    ended = make_yard(tasks__modules="no.such_module").run(*WORKER)
    assert ended.returncode != 0
    assert "JOBYARD_TASKS__MODULES names 'no.such_module'" in ended.stderr


def test_a_worker_says_so_in_a_sentence(make_yard: MakeYard) -> None:
    ended = make_yard(tasks__modules="no.such_module").run(*WORKER)
    assert ended.stderr.startswith("JOBYARD_TASKS__MODULES names 'no.such_module'")
    assert "Traceback" not in ended.stderr


def test_an_api_does_not_start_on_a_ledger_that_has_no_tables(make_yard: MakeYard) -> None:
    yard = make_yard()
    yard.settings["JOBYARD_LEDGER__URL"] = f"sqlite:///{yard.home}/other.db"
    ended = yard.run("api")
    assert ended.returncode == 1
    assert "make migrate" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_api_waits_for_its_ledger_and_does_not_tell_its_password(make_yard: MakeYard) -> None:
    yard = make_yard(ledger__url="postgresql://jobyard:secret@127.0.0.1:1/jobyard")
    api = yard.start("api", "api")
    wait_until(lambda: "JOBYARD_LEDGER__URL" in api.output(), 30, "the API to say what it waits for")
    assert not answers(yard.port("API"))
    api.stop()
    assert "Traceback" not in api.output()
    assert "secret" not in api.output()
