"""Handing in a job: what a 202 says, and which options a job can have."""

import socket
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from jobyard.jobs.clock import utc_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from tests.support.api_calls import (
    DEEDS,
    EMAIL,
    a_word,
    accepted,
    deed,
    ended,
    nothing_accepted,
    raw,
    shown,
)
from tests.support.processes import ROOT, YardProcesses

SAMPLE = ROOT / "config" / "sample.png"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_an_accepted_job_is_answered_with_its_place(api: httpx.Client) -> None:
    answer = api.post(DEEDS, json={"text": "hello"})
    job = accepted(answer)
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert "jobyard-duplicate" not in answer.headers
    assert (job["task"], job["queue"], job["priority"]) == ("bad.deed", "default", 4)
    assert (job["status"], job["attempt"], job["max_attempts"]) == ("queued", 0, 3)
    assert job["links"]["self"] == answer.headers["location"]
    assert abs(at(job["created_at"]) - utc_now()) < timedelta(minutes=1)


def test_an_accepted_job_runs_and_keeps_its_payload_and_result(api: httpx.Client) -> None:
    job = ended(api, deed(api, text="grüße 👋"))
    assert job["status"] == "succeeded"
    assert job["result"] == {"said": "grüße 👋"}
    assert job["payload"]["text"] == "grüße 👋"
    assert job["payload"]["then"] == "return"
    assert (job["attempt"], job["attempts"], job["failure"]) == (1, [], None)
    assert at(job["created_at"]) <= at(job["started_at"]) <= at(job["finished_at"])
    assert job["worker"]


def test_what_the_answer_says_is_what_the_ledger_holds(api: httpx.Client) -> None:
    answer = accepted(
        api.post(DEEDS, params={"delay": "3600", "expires_in": "PT2H", "unique_key": a_word()}, json={})
    )
    stored = shown(api, answer["id"])
    times = {name for name in answer if name.endswith("_at")}
    assert {name: stored[name] for name in answer if name not in times} == {
        name: answer[name] for name in answer if name not in times
    }
    for name in ("created_at", "run_at", "expires_at"):
        assert abs(at(stored[name]) - at(answer[name])) < timedelta(seconds=5)


def test_the_options_of_a_job_are_in_the_query(api: httpx.Client) -> None:
    key, tags = a_word(), [a_word(), "grün"]
    options: dict[str, Any] = {
        **{"queue": "email", "priority": 9, "delay": "PT1H", "expires_in": "7200"},
        **{"max_attempts": 7, "unique_key": key, "tag": tags},
    }
    job = shown(api, deed(api, options))
    assert (job["queue"], job["priority"], job["max_attempts"]) == ("email", 9, 7)
    assert (job["status"], job["unique_key"]) == ("scheduled", key)
    assert sorted(job["tags"]) == sorted(tags)
    assert at(job["run_at"]) - at(job["created_at"]) == timedelta(hours=1)
    assert at(job["expires_at"]) - at(job["created_at"]) == timedelta(hours=2)


def test_a_tag_that_is_given_twice_counts_once(api: httpx.Client) -> None:
    tag = a_word()
    assert shown(api, deed(api, {"tag": [tag, tag]}))["tags"] == [tag]


@pytest.mark.parametrize(
    "past", ["2001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"]
)
def test_a_time_in_the_past_means_now_however_far_it_is(api: httpx.Client, past: str) -> None:
    job_id = deed(api, {"run_at": past})
    assert ended(api, job_id)["status"] == "succeeded"
    # A row with a date that cannot be read would stop every list that it is part of.
    assert job_id in [job["id"] for job in api.get("/v1/jobs", params={"limit": 500}).json()["jobs"]]


def test_a_job_with_a_date_waits_for_it(api: httpx.Client) -> None:
    soon = (utc_now() + timedelta(hours=1)).isoformat()
    job = accepted(api.post(DEEDS, params={"run_at": soon}, json={}))
    assert (job["status"], at(job["run_at"])) == ("scheduled", at(soon))


def test_a_short_delay_is_waited_for_and_then_the_job_runs(api: httpx.Client) -> None:
    job = ended(api, deed(api, {"delay": "0.5"}))
    assert at(job["started_at"]) - at(job["created_at"]) >= timedelta(seconds=0.49)


def test_a_unique_key_leads_to_the_job_that_is_on_its_way(api: httpx.Client) -> None:
    key = a_word()
    first = deed(api, {"unique_key": key, "delay": 3600}, text="first")
    again = api.post(DEEDS, params={"unique_key": key}, json={"text": "another"})
    assert accepted(again)["id"] == first
    assert accepted(again)["status"] == "scheduled"
    assert again.headers["jobyard-duplicate"] == "duplicate"
    assert api.post(f"/v1/jobs/{first}/cancel").status_code == 200
    assert deed(api, {"unique_key": key}) != first


def test_a_task_is_known_by_its_old_name_too(api: httpx.Client) -> None:
    job = accepted(api.post("/v1/tasks/bad.old/jobs", params={"priority": 8}, json={}))
    assert (job["task"], job["priority"]) == ("bad.deed", 8)
    assert ended(api, job["id"])["status"] == "succeeded"


@pytest.mark.parametrize(
    ("door", "body", "task", "queue"),
    [
        ("/email", EMAIL, "email.send", "email"),
        ("/collect", {"url": "https://example.org/"}, "page.collect", "collect"),
        (
            "/images",
            {"source": {"url": "https://example.org/a.png"}, "outputs": [{"format": "webp"}]},
            "image.convert",
            "images",
        ),
    ],
)
def test_the_short_doors_lead_to_their_tasks(
    api: httpx.Client, door: str, body: dict[str, Any], task: str, queue: str
) -> None:
    job = accepted(api.post(door, params={"delay": 3600, "priority": 7}, json=body))
    assert (job["task"], job["queue"], job["priority"]) == (task, queue, 7)
    assert api.post(job["links"]["cancel"]).status_code == 200


def test_an_uploaded_picture_goes_through_the_images_door_and_back(api: httpx.Client) -> None:
    source = api.post("/v1/files", params={"name": "sample.png"}, content=SAMPLE.read_bytes()).json()["id"]
    order = {"source": {"file": source}, "outputs": [{"format": "webp", "width": 20}]}
    job = ended(api, accepted(api.post("/images", json=order))["id"])
    assert job["status"] == "succeeded", job["failure"]
    [made] = job["result"]["outputs"]
    picture = api.get(f"/v1/files/{made['file']}")
    assert picture.headers["content-type"] == "image/webp"
    assert picture.content[:4] == b"RIFF"
    assert len(picture.content) == made["size"]


def test_a_page_of_the_yard_itself_goes_through_the_collect_door(api: httpx.Client) -> None:
    # The run's own yard allows 127.0.0.0/8 by name.
    job = ended(api, accepted(api.post("/collect", json={"url": f"{api.base_url}/healthz"}))["id"])
    assert job["status"] == "succeeded", job["failure"]
    assert job["result"]["status"] == 200
    assert api.get(f"/v1/files/{job['result']['file']}").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("body", "text"),
    [(b'{"text": "NaN and Infinity"}', "NaN and Infinity"), (rb'{"text": "\ud83d\ude00"}', "\U0001f600")],
)
def test_text_that_only_looks_like_bad_json_is_taken(api: httpx.Client, body: bytes, text: str) -> None:
    job = shown(api, accepted(raw(api, DEEDS, body))["id"])
    assert job["payload"]["text"] == text


def test_the_media_type_may_be_written_in_other_ways(api: httpx.Client) -> None:
    accepted(api.post(DEEDS, content=b"{}", headers={"Content-Type": "Application/JSON; charset=utf-8"}))


def test_a_client_that_hangs_up_leaves_no_job_and_no_traceback(
    api: httpx.Client, engine: LedgerDatabase, worker: YardProcesses
) -> None:
    with nothing_accepted(engine), socket.create_connection(("127.0.0.1", worker.port("API"))) as client:
        head = f"POST {DEEDS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(f'{head}Content-Length: 1000\r\n\r\n{{"then":'.encode())
    assert api.get("/healthz").status_code == 200
    [log] = [program.output() for program in worker.programs if program.name == "api"]
    assert "ClientDisconnect" not in log
