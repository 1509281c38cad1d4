"""Searching, counting and exporting over HTTP, and what is said of jobs that were pruned."""

import csv
import io
import json
from typing import Any

import httpx
import pytest

from jobyard.http.routes.export import COLUMNS
from jobyard.jobs.ledger import Ledger
from tests.support.api_calls import DEEDS, a_word, accepted, deed, ended, problem
from tests.support.ledger_jobs import DAY, ended_ago, prune_all


def found(api: httpx.Client, path: str = "/v1/jobs", **query: Any) -> list[str]:
    """Return the ids of every page."""
    ids: list[str] = []
    while True:
        answer = api.get(path, params=query)
        assert answer.status_code == 200, answer.text
        ids += [job["id"] for job in answer.json()["jobs"]]
        query["cursor"] = answer.json()["next_cursor"]
        if query["cursor"] is None:
            return ids


def test_jobs_are_found_by_what_their_payload_says(api: httpx.Client) -> None:
    word = a_word()
    job_id, other = deed(api, text=word, number=5), deed(api, text=word, number=6)
    assert found(api, **{"payload.text": word}) == [other, job_id]
    assert found(api, **{"payload.text": word, "payload.number": "5"}) == [job_id]
    assert found(api, **{"payload.text": word, "task": "email.send"}) == []
    odd = "it's \"odd\" % _ \\ ü \u2028 '; --"
    odd_id = deed(api, text=odd + word)
    assert found(api, **{"payload.text": odd + word}) == [odd_id]


@pytest.mark.parametrize(
    "name", ["payload.", "payload.a..b", "payload..a", "payload.a.", "payload." + "x" * 300]
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/count", "/v1/jobs/export", "/v1/dead-letters"])
def test_a_path_that_is_none_is_named(api: httpx.Client, path: str, name: str) -> None:
    problem(api.get(path, params={name: "x"}), 422, name[:200])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"payload.a": "x" * 501}, "payload.a"),
        ({f"payload.a{number}": "x" for number in range(11)}, "payload."),
        ({"payload.a": ["1", "2"]}, "payload.a"),
        ({"text": ""}, "text"),
        ({"text": "a\x00b"}, "text"),
        ({"worker": "x" * 501}, "worker"),
        ({"parent": "x"}, "parent"),
        ({"payload": "x"}, "payload"),
    ],
)
def test_a_filter_that_cannot_be_is_named(api: httpx.Client, query: dict[str, Any], field: str) -> None:
    for path in ("/v1/jobs", "/v1/jobs/count", "/v1/jobs/export"):
        problem(api.get(path, params=query), 422, field)


def test_fields_of_payloads_narrow_no_other_list(api: httpx.Client) -> None:
    problem(api.get("/v1/queues", params={"payload.a": "x"}), 422, "payload.a")
    problem(api.get("/v1/dead-letters/causes", params={"payload.a": "x"}), 422, "payload.a")


def test_dead_letters_are_found_and_replayed_by_words_and_payload(api: httpx.Client) -> None:
    word = a_word()
    job_id = deed(api, then="raise", text=word)
    ended(api, job_id)
    assert found(api, "/v1/dead-letters", **{"payload.text": word, "text": "AS ORDERED"}) == [job_id]
    body = {"filter": {"payload": {"text": word}}, "reason": "searched"}
    assert accepted(api.post("/v1/dead-letters/replay", json=body))["total"] == 1
    problem(api.post("/v1/dead-letters/replay", json={"filter": {"payload": {"a..b": "x"}}}), 422, None)


def test_jobs_are_found_exported_replayed_and_discarded_by_when_they_ended(api: httpx.Client) -> None:
    tag = a_word()
    first, second = deed(api, {"tag": tag}, then="raise"), deed(api, {"tag": tag, "delay": 3600})
    waiting = deed(api, {"tag": tag, "delay": 3600})
    ended(api, first)
    border = api.post(f"/v1/jobs/{second}/cancel").json()["finished_at"]
    assert found(api, tag=tag) == [waiting, second, first]
    assert found(api, tag=tag, ended_since=border) == [second]
    assert found(api, tag=tag, ended_until=border) == [first]
    assert found(api, ended_since=border, ended_until=border) == []
    assert found(api, "/v1/dead-letters", tag=tag, ended_since=border) == []
    export = api.get("/v1/jobs/export", params={"tag": tag, "ended_until": border})
    assert [json.loads(line)["id"] for line in export.text.splitlines()] == [first]
    assert api.get("/v1/jobs/count", params={"tag": tag, "ended_since": border}).json()["jobs"] == 1
    causes = api.get("/v1/dead-letters/causes", params={"tag": tag, "ended_since": border})
    assert causes.json() == []
    later, earlier = ({"filter": {"tag": tag, name: border}} for name in ("ended_since", "ended_until"))
    assert accepted(api.post("/v1/dead-letters/replay", json=later))["total"] == 0
    discarding = "/v1/dead-letters/discard"
    assert api.post(discarding, json=later | {"reason": "x"}).json()["discarded"] == []
    assert api.post(discarding, json=earlier | {"reason": "x"}).json()["discarded"] == [first]


def test_a_job_that_a_job_handed_in_names_its_parent(api: httpx.Client) -> None:
    parent = deed(api, then="hand_in")
    child = ended(api, parent)["result"]["said"]
    assert found(api, parent=parent) == [child]
    assert ended(api, child)["parent"] == parent
    assert ended(api, parent)["parent"] is None


def test_jobs_are_counted(api: httpx.Client) -> None:
    tag = a_word()
    for _ in range(3):
        deed(api, {"tag": tag})
    answer = api.get("/v1/jobs/count", params={"tag": tag})
    assert answer.json() == {"jobs": 3, "is_exact": True}


def test_an_export_has_every_job_of_its_filter_in_both_forms(api: httpx.Client) -> None:
    tag = a_word()
    options = {"tag": [tag, "second, with no comma".replace(",", "")]}
    texts = ['say "hi", twice', "two\nlines", "ü", "=1+1"]
    ids = [deed(api, options, text=text) for text in texts][::-1]
    ids.insert(0, deed(api, options, then="raise"))
    for job_id in ids:
        ended(api, job_id)
    answer = api.get("/v1/jobs/export", params={"tag": tag})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["id"] for line in lines] == ids
    assert [tuple(line) for line in lines] == [COLUMNS] * 5
    assert [line["payload"]["text"] for line in lines[1:]] == texts[::-1]
    assert lines[0]["failure_type"] == "ValueError"
    assert lines[1]["result"] == {"said": texts[-1]}
    answer = api.get("/v1/jobs/export", params={"tag": tag, "format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["id"] for row in rows] == ids
    assert [json.loads(row["payload"])["text"] for row in rows[1:]] == texts[::-1]
    assert rows[0]["failure_message"] == "as ordered"
    assert rows[0]["tags"].split(",") == sorted([tag, "second with no comma"])
    problem(api.get("/v1/jobs/export", params={"format": "xls"}), 422, "format")


def test_an_export_of_nothing_is_empty(api: httpx.Client) -> None:
    assert api.get("/v1/jobs/export", params={"tag": a_word()}).content == b""
    answer = api.get("/v1/jobs/export", params={"tag": a_word(), "format": "csv"})
    assert answer.text == ",".join(COLUMNS) + "\r\n"


def test_a_long_export_is_streamed_in_many_parts(api: httpx.Client) -> None:
    tag = a_word()
    many = api.post(f"{DEEDS}/bulk", params={"tag": tag, "delay": 3600}, json=[{}] * 1200)
    assert many.json()["accepted"] == 1200
    with api.stream("GET", "/v1/jobs/export", params={"tag": tag}) as answer:
        parts = list(answer.iter_raw())
    assert len(parts) >= 3
    assert b"".join(parts).count(b"\n") == 1200


def test_a_pruned_job_is_gone_and_no_stranger(api: httpx.Client, ledger: Ledger) -> None:
    job_id = ended_ago(ledger, 31 * DAY)
    prune_all(ledger, "P30D")
    for answer in (
        api.get(f"/v1/jobs/{job_id}"),
        api.get(f"/v1/jobs/{job_id}/result"),
        api.post(f"/v1/jobs/{job_id}/cancel"),
        api.post(f"/v1/jobs/{job_id}/replay"),
    ):
        told = problem(answer, 410, "job_id")
        assert "JOBYARD_LEDGER__RETENTION" in told["detail"]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/count", "/v1/jobs/export"])
@pytest.mark.parametrize("times", [2, 600])
def test_a_status_that_is_named_more_than_once_counts_once(api: httpx.Client, path: str, times: int) -> None:
    query: dict[str, Any] = {"tag": f"{path[4:]}-{times}"}
    accepted(api.post(f"{DEEDS}/bulk", params=query | {"delay": 3600}, json=[{}] * 3))
    once = api.get(path, params=query | {"status": "scheduled"})
    often = api.get(path, params=query | {"status": ["scheduled"] * times})
    assert once.status_code == often.status_code == 200
    assert once.text == often.text
    assert once.text.count("scheduled") or once.json()["jobs"] == 3


@pytest.mark.parametrize("beginning", list("=+-@"))
def test_a_cell_of_an_export_is_never_a_formula(api: httpx.Client, beginning: str) -> None:
    tag = f"{beginning}{a_word()}"
    accepted(api.post(DEEDS, params={"tag": tag, "delay": 3600}, json={"text": "=1+1"}))
    answer = api.get("/v1/jobs/export", params={"tag": tag, "format": "csv"})
    [row] = csv.DictReader(io.StringIO(answer.text))
    assert row["tags"] == f"'{tag}"
    assert json.loads(row["payload"])["text"] == "=1+1"
    assert api.get("/v1/jobs/export", params={"tag": tag}).json()["tags"] == [tag]
