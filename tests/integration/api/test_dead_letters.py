"""Dead letters: found in a list, and replayed by their ids or by a filter."""

from typing import Any

import httpx
import pytest

from jobs.ledger import Ledger
from tests.integration.api.calling import (
    NOBODYS_ID,
    a_word,
    deed,
    ended,
    nested,
    problem,
    raw,
    shown,
)
from tests.unit.jobs.test_ledger import dead

LIST = "/v1/dead-letters"
REPLAY = "/v1/dead-letters/replay"


def replayed(api: httpx.Client, **order: Any) -> dict[str, Any]:
    answer = api.post(REPLAY, json=order)
    assert answer.status_code == 202, answer.text
    told: dict[str, Any] = answer.json()
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
    told = replayed(api, ids=[letters[0], letters[1], letters[0]])
    assert told == {"replayed": letters, "refused": []}
    assert [ended(api, job_id)["status"] for job_id in letters] == ["succeeded", "succeeded"]
    assert shown(api, letters[0])["replays"] == 1


def test_ids_that_cannot_be_replayed_are_named_and_the_others_are(api: httpx.Client, ledger: Ledger) -> None:
    letter, waiting = dead(ledger), deed(api, {"delay": 3600})
    told = replayed(api, ids=[NOBODYS_ID, waiting, letter])
    assert told["replayed"] == [letter]
    assert [refused["id"] for refused in told["refused"]] == [NOBODYS_ID, waiting]
    assert "was ever accepted" in told["refused"][0]["reason"]
    assert "is scheduled" in told["refused"][1]["reason"]
    assert shown(api, waiting)["status"] == "scheduled"


def test_dead_letters_are_replayed_by_a_filter_the_newest_first(api: httpx.Client, ledger: Ledger) -> None:
    tag = a_word()
    oldest, *newer = [dead(ledger, tags=(tag,)) for _ in range(3)]
    other = dead(ledger)
    deed(api, {"tag": tag, "delay": 3600})
    assert replayed(api, filter={"tag": tag}, limit=2)["replayed"] == newer[::-1]
    assert shown(api, oldest)["status"] == shown(api, other)["status"] == "dead"
    assert replayed(api, filter={"tag": tag, "task": "bad.deed"})["replayed"] == [oldest]
    assert [ended(api, job_id)["status"] for job_id in (oldest, *newer)] == ["succeeded"] * 3
    assert replayed(api, filter={"tag": tag}) == {"replayed": [], "refused": []}


def test_an_empty_filter_means_every_dead_letter(api: httpx.Client, empty_ledger: Ledger) -> None:
    letters = [dead(empty_ledger) for _ in range(3)]
    assert sorted(replayed(api, filter={})["replayed"]) == letters


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{}", 422, "body"),
        (b'{"ids": ["%s"], "filter": {}}' % NOBODYS_ID.encode(), 422, "body"),
        (b'{"ids": []}', 422, "ids"),
        (b'{"ids": [%s]}' % b",".join([b'"%s"' % NOBODYS_ID.encode()] * 1001), 422, "ids"),
        (b'{"ids": ["x"]}', 422, "ids.0"),
        (b'{"ids": "%s"}' % NOBODYS_ID.encode(), 422, "ids"),
        (b'{"filter": {"status": "queued"}}', 422, "filter.status"),
        (b'{"filter": {"queue": "nope"}}', 422, "filter.queue"),
        (rb'{"filter": {"task": "a\u0000b"}}', 422, "filter.task"),
        (rb'{"filter": {"tag": "a\u0000b"}}', 422, "filter.tag"),
        (b'{"filter": {}, "limit": 0}', 422, "limit"),
        (b'{"filter": {}, "limit": 1001}', 422, "limit"),
        (b'{"filter": {}, "nope": 1}', 422, "nope"),
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
