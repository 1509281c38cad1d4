"""Dead letters: found in a list, and replayed by their ids or by a filter."""

from typing import Any

import httpx
import pytest

from jobyard.jobs.job import new_id
from jobyard.jobs.ledger import Ledger
from tests.support.api_calls import (
    NOBODYS_ID,
    a_word,
    deed,
    ended,
    nested,
    problem,
    raw,
    shown,
)
from tests.support.ledger_jobs import dead
from tests.support.waiting import wait_until

LIST = "/v1/dead-letters"
REPLAY = "/v1/dead-letters/replay"


def ordered(api: httpx.Client, **order: Any) -> dict[str, Any]:
    answer = api.post(REPLAY, json=order)
    assert answer.status_code == 202, answer.text
    told: dict[str, Any] = answer.json()
    return told


def finished(api: httpx.Client, order: dict[str, Any]) -> dict[str, Any]:
    """Wait until an order is no longer carried out, and return it."""

    def is_over() -> bool:
        return bool(api.get(order["links"]["self"]).json()["status"] != "running")

    wait_until(is_over, 30, "the order to be carried out")
    told: dict[str, Any] = api.get(order["links"]["self"]).json()
    return told


def test_only_dead_jobs_are_listed_each_with_its_failure(api: httpx.Client, ledger: Ledger) -> None:
    tag = a_word()
    first, second = dead(ledger, tags=(tag,)), dead(ledger, tags=(tag,))
    deed(api, {"tag": tag, "delay": 3600})
    page = api.get(LIST, params={"tag": tag}).json()
    assert [job["id"] for job in page["jobs"]] == [second, first]
    assert page["jobs"][0]["failure"] == {
        "cause": "exception",
        "type": "ValueError",
        "message": "as ordered",
    }


def test_the_list_of_dead_letters_has_filters_and_pages(api: httpx.Client, ledger: Ledger) -> None:
    tag = a_word()
    letters = [dead(ledger, tags=(tag,)) for _ in range(3)]
    mail = dead(ledger, tags=(tag,), task="email.send", queue="email")
    page = api.get(LIST, params={"tag": tag, "limit": 2}).json()
    rest = api.get(LIST, params={"tag": tag, "limit": 2, "cursor": page["next_cursor"]}).json()
    found = [job["id"] for job in page["jobs"] + rest["jobs"]]
    assert found == [mail, *letters[::-1]]
    assert rest["next_cursor"] is None
    for narrow in ({"task": "email.send"}, {"queue": "email"}):
        jobs = api.get(LIST, params={"tag": tag} | narrow).json()["jobs"]
        assert [job["id"] for job in jobs] == [mail]


@pytest.mark.parametrize(
    ("query", "field"),
    [("status=queued", "status"), ("limit=0", "limit"), ("limit=501", "limit"), ("cursor=x", "cursor")],
)
def test_a_list_of_dead_letters_that_cannot_be(api: httpx.Client, query: str, field: str) -> None:
    problem(api.get(f"{LIST}?{query}"), 422, field)


def test_dead_letters_are_replayed_by_their_ids(api: httpx.Client, ledger: Ledger) -> None:
    letters = [dead(ledger), dead(ledger)]
    told = ordered(api, ids=[letters[0], letters[1], letters[0]], reason="mended")
    assert (told["total"], told["released"], told["refusals"]) == (2, 2, [])
    assert [ended(api, job_id)["status"] for job_id in letters] == ["succeeded", "succeeded"]
    assert finished(api, told)["succeeded"] == 2
    job = shown(api, letters[0])
    assert job["replays"] == 1
    [note] = job["interventions"]
    assert (note["kind"], note["reason"], note["difference"]) == ("replayed", "mended", None)


def test_ids_that_cannot_be_replayed_are_named_and_the_others_are(api: httpx.Client, ledger: Ledger) -> None:
    letter, waiting = dead(ledger), deed(api, {"delay": 3600})
    told = finished(api, ordered(api, ids=[NOBODYS_ID, waiting, letter]))
    assert (told["status"], told["released"], told["refused"]) == ("done", 1, 2)
    assert {refused["id"] for refused in told["refusals"]} == {NOBODYS_ID, waiting}
    assert "is dead" in told["refusals"][0]["reason"]
    assert shown(api, waiting)["status"] == "scheduled"
    assert ended(api, letter)["status"] == "succeeded"


def test_dead_letters_are_replayed_by_a_filter_the_newest_first(api: httpx.Client, ledger: Ledger) -> None:
    tag = a_word()
    oldest, *newer = [dead(ledger, tags=(tag,)) for _ in range(3)]
    other = dead(ledger)
    deed(api, {"tag": tag, "delay": 3600})
    assert ordered(api, filter={"tag": tag}, limit=2)["released"] == 2
    assert [ended(api, job_id)["status"] for job_id in newer] == ["succeeded"] * 2
    assert shown(api, oldest)["status"] == shown(api, other)["status"] == "dead"
    by_cause = {"tag": tag, "task": "bad.deed", "cause": "exception", "error": "ValueError"}
    assert ordered(api, filter=by_cause)["released"] == 1
    assert ended(api, oldest)["status"] == "succeeded"
    assert ordered(api, filter={"tag": tag})["total"] == 0


def test_an_empty_filter_means_every_dead_letter(api: httpx.Client, empty_ledger: Ledger) -> None:
    letters = [dead(empty_ledger) for _ in range(3)]
    assert ordered(api, filter={})["total"] == 3
    assert [ended(api, job_id)["status"] for job_id in letters] == ["succeeded"] * 3


def test_a_canary_that_dies_again_stops_by_itself(api: httpx.Client, ledger: Ledger) -> None:
    letters = [dead(ledger, payload='{"then": "raise"}') for _ in range(12)]
    told = finished(api, ordered(api, ids=letters, canary=True))
    assert (told["status"], told["released"], told["dead_again"]) == ("stopped", 1, 1)
    [again] = [job_id for job_id in letters if shown(api, job_id)["replays"]]
    assert (told["actor"], told["stopped_by"]) == ("local", "keeper")
    assert told["stop_reason"] == f"job {again} is dead again: exception (ValueError)"


def test_a_canary_that_is_well_goes_on_to_the_rest(api: httpx.Client, ledger: Ledger) -> None:
    letters = [dead(ledger) for _ in range(12)]
    told = finished(api, ordered(api, ids=letters, canary=True))
    assert (told["status"], told["succeeded"], told["dead_again"]) == ("done", 12, 0)


def test_a_hundred_thousand_ids_are_taken_at_once_and_each_is_answered(
    api: httpx.Client, ledger: Ledger
) -> None:
    letter = dead(ledger)
    told = ordered(api, ids=[*(new_id() for _ in range(99_999)), letter])
    assert told["total"] == 100_000
    stopped = api.post(told["links"]["stop"], json={"reason": "too many"}).json()
    assert (stopped["status"], stopped["ended_at"] is None) == ("stopped", False)
    assert (stopped["stopped_by"], stopped["stop_reason"]) == ("local", "too many")
    assert told["id"] in [order["id"] for order in api.get("/v1/replays").json()]


def test_an_order_of_nobody_is_unknown(api: httpx.Client) -> None:
    problem(api.get(f"/v1/replays/{NOBODYS_ID}"), 404, "replay_id")
    problem(api.post(f"/v1/replays/{NOBODYS_ID}/stop"), 404, "replay_id")
    problem(api.get("/v1/replays/x"), 422, "replay_id")


def test_dead_letters_are_grouped_by_cause(api: httpx.Client, ledger: Ledger) -> None:
    tag = a_word()
    *_, latest = [dead(ledger, tags=(tag,)) for _ in range(3)]
    [group] = api.get(f"{LIST}/causes", params={"tag": tag}).json()
    assert (group["task"], group["cause"], group["type"], group["count"]) == (
        *("bad.deed", "exception", "ValueError"),
        3,
    )
    assert (group["example"], group["message"]) == (latest, "as ordered")


def test_many_are_discarded_with_a_reason(api: httpx.Client, ledger: Ledger) -> None:
    tag = a_word()
    letters = [dead(ledger, tags=(tag,)) for _ in range(3)]
    answer = api.post(f"{LIST}/discard", json={"filter": {"tag": tag}, "reason": "test orders"})
    assert answer.status_code == 200, answer.text
    assert sorted(answer.json()["discarded"]) == sorted(letters)
    job = shown(api, letters[0])
    assert (job["status"], job["failure"]["type"]) == ("cancelled", "ValueError")
    assert job["interventions"][0]["reason"] == "test orders"
    problem(api.post(f"{LIST}/discard", json={"filter": {}}), 422, "reason")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{}", 422, "body"),
        (b'{"ids": ["%s"], "filter": {}}' % NOBODYS_ID.encode(), 422, "body"),
        (b'{"ids": []}', 422, "ids"),
        (b'{"ids": [%s]}' % b",".join([b'"%s"' % NOBODYS_ID.encode()] * 100_001), 422, "ids"),
        (b'{"ids": ["x"]}', 422, "ids.0"),
        (b'{"ids": "%s"}' % NOBODYS_ID.encode(), 422, "ids"),
        (b'{"filter": {"status": "queued"}}', 422, "filter.status"),
        (b'{"filter": {"queue": "nope"}}', 422, "filter.queue"),
        (rb'{"filter": {"task": "a\u0000b"}}', 422, "filter.task"),
        (rb'{"filter": {"tag": "a\u0000b"}}', 422, "filter.tag"),
        (b'{"filter": {}, "limit": 0}', 422, "limit"),
        (b'{"filter": {}, "limit": 100001}', 422, "limit"),
        (b'{"filter": {}, "nope": 1}', 422, "nope"),
        (b'{"filter": {}, "canary": "maybe"}', 422, "canary"),
        (b'{"filter": {}, "reason": ""}', 422, "reason"),
        (b'{"filter": {"cause": "fate"}}', 422, "filter.cause"),
        (b"null", 422, "body"),
        (b"", 400, "body"),
        (b"nope", 400, "body"),
        (b'{"filter": {}, "limit": NaN}', 400, "body"),
        (rb'{"filter": {"task": "\ud800"}}', 400, "body"),
        (b'{"filter": {"task": "\xff"}}', 400, "body"),
        (nested(100_000), 400, "body"),
    ],
)
def test_an_order_that_is_wrong_replays_nothing(
    api: httpx.Client, ledger: Ledger, body: bytes, status: int, field: str
) -> None:
    letter = dead(ledger)
    problem(raw(api, REPLAY, body), status, field)
    assert shown(api, letter)["status"] == "dead"


def test_an_order_with_an_option_is_refused(api: httpx.Client) -> None:
    problem(api.post(REPLAY, params={"limit": 1}, json={"filter": {}}), 422, "limit")
