"""What processes write: one form for every line, tracebacks of dead jobs, and why a process ends."""

import json
import signal
from datetime import timedelta

import pytest

from jobyard.jobs.job import Status
from jobyard.jobs.reading.living_workers import list_workers
from tests.support.own_yard import OwnYard
from tests.support.processes import answers

pytestmark = pytest.mark.timeout(180)
ONE_NAME = ("jobyard", "worker", "-n", "io@here", "-Q", "default")


def test_every_line_is_json_where_the_settings_say_so_and_a_dead_job_has_its_traceback(own: OwnYard) -> None:
    own.settings["JOBYARD_LOG__FORMAT"] = "json"
    flower = own.start("flower", "jobyard", "flower")
    own.wait_until(lambda: "Inspect method" in flower.output(), 60, "Flower to find no worker")
    worker, beat = own.start("worker", *ONE_NAME), own.start("beat", "jobyard", "beat")
    api, [job_id] = own.start_api(), own.hand_in("raise")
    own.wait_for([job_id], Status.DEAD, 60)
    for program in (flower, beat, worker, api):
        program.stop()
    events = [
        json.loads(line) for program in (worker, beat, api, flower) for line in program.output().splitlines()
    ]
    assert "Inspect method" in str(
        [event["event"] for event in events if event["logger"].startswith("flower")]
    )
    assert "worker: Warm shutdown (MainProcess)" in [event["event"] for event in events]
    [dead] = [event for event in events if event["event"] == "dead"]
    assert dead["exception"].startswith("Traceback (most recent call last):")
    assert "as ordered" in dead["exception"]


def test_two_workers_of_one_name_are_a_warning_and_one_that_stops_is_gone_at_once(own: OwnYard) -> None:
    workers = [own.start("worker", *ONE_NAME) for _ in range(2)]
    sentence = "another worker has this one's name: give each its own with -n"
    own.wait_until(lambda: all(sentence in worker.output() for worker in workers), 60, "both to say it")
    for worker in workers:
        worker.stop()
        assert worker.output().count(sentence) == 1
    assert list_workers(own.ledger.database, timedelta(hours=1)) == []


def test_a_hangup_stops_the_api_as_sigterm_does_and_is_said(own: OwnYard) -> None:
    api = own.start_api()
    api.kill(signal.SIGHUP)
    assert api.process.wait(20) == -signal.SIGTERM
    assert "SIGHUP: stopping as on SIGTERM" in api.output()
    assert "Application shutdown complete" in api.output()


def test_a_hangup_that_is_ignored_stays_so(own: OwnYard) -> None:
    api = own.start_command("api", "nohup", "python", "-m", "api")
    own.wait_until(lambda: answers(own.port("API")), 60, "the API to answer")
    api.kill(signal.SIGHUP)
    api.kill(signal.SIGHUP)
    assert answers(own.port("API"))
    api.stop()
    assert "SIGHUP" not in api.output()
