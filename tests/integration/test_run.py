"""`make run`: everything starts, the printed commands work, and Ctrl-C ends all of it."""

import json
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import Program
from tests.support.sqs_broker import SqsBroker
from tests.support.waiting import wait_until
from tests.support.whole_yard import WholeYard, needs_proc, printed_commands

pytestmark = [needs_proc, pytest.mark.timeout(180)]


def run_as_printed(command: str) -> str:
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="the printed commands need curl")
def test_the_printed_commands_work_and_ctrl_c_ends_every_process(own_yard: WholeYard) -> None:
    running = own_yard.open()
    *jobs, how_they_ended = printed_commands(running.output())
    assert len(jobs) == 3
    answers = [json.loads(run_as_printed(command)) for command in jobs]
    assert [answer["status"] for answer in answers] == ["succeeded"] * 3
    base = f"http://127.0.0.1:{own_yard.port('API')}"
    made = answers[1]["result"]["outputs"][0]
    assert httpx.get(f"{base}/v1/files/{made['file']}").content[8:12] == b"WEBP"
    assert httpx.get(f"{base}/v1/files/{answers[2]['result']['file']}").headers["content-type"] == "text/html"
    [mail] = (own_yard.home / "mails").glob("*.eml")
    assert answers[0]["id"] in mail.read_text()
    assert len(json.loads(run_as_printed(how_they_ended))["jobs"]) >= 3

    press_ctrl_c(own_yard, running)
    again = own_yard.open()
    known = {job["id"] for job in json.loads(run_as_printed(how_they_ended))["jobs"]}
    assert {answer["id"] for answer in answers} <= known
    press_ctrl_c(own_yard, again)


def press_ctrl_c(yard: WholeYard, running: Program) -> None:
    running.kill(signal.SIGINT)  # to the whole foreground group, as a terminal does
    wait_until(lambda: running.process.poll() is not None, 15, "make run to end")
    assert not yard.process_ids(), running.output()


def test_on_sqs_everything_runs_but_flower_which_says_why_it_does_not(
    own_yard: WholeYard, tmp_path: Path
) -> None:
    sqs = SqsBroker(tmp_path)
    sqs.start()
    try:
        own_yard.settings |= sqs.settings
        running = own_yard.open()
        jobs = printed_commands(running.output())[:-1]
        answers = [json.loads(run_as_printed(command)) for command in jobs]
        assert [answer["status"] for answer in answers] == ["succeeded"] * 3
        assert "Flower   not started: SQS carries neither the events of workers" in running.output()
        press_ctrl_c(own_yard, running)
    finally:
        sqs.close()


def test_a_port_in_use_is_said_plainly_with_the_setting_that_changes_it(own_yard: WholeYard) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", own_yard.port("FLOWER")))
        taken.listen()
        program = own_yard.make_run()
        wait_until(lambda: program.process.poll() is not None, 60, "make run to give up")
    said = program.output()
    assert program.process.returncode != 0
    assert f"port {own_yard.port('FLOWER')} on 127.0.0.1 is taken, and Flower needs it" in said
    assert "choose another with JOBYARD_FLOWER__PORT=PORT" in said
    assert not own_yard.process_ids()


def test_wrong_settings_stop_the_start_all_of_them_named_at_once(own_yard: WholeYard) -> None:
    own_yard.settings |= {"JOBYARD_API__PORT": "http", "JOBYARD_LOG__LEVEL": "LOUD", "JOBYARD_NOSUCH": "1"}
    program = own_yard.make_run()
    wait_until(lambda: program.process.poll() is not None, 60, "make run to give up")
    for name in ("JOBYARD_API__PORT", "JOBYARD_LOG__LEVEL", "JOBYARD_NOSUCH"):
        assert name in program.output()
    assert "Traceback" not in program.output()


def test_a_second_yard_in_the_same_folder_is_refused_with_the_first_ones_process(own_yard: WholeYard) -> None:
    first = own_yard.open()
    second = own_yard.make_run()
    wait_until(lambda: second.process.poll() is not None, 60, "the second to give up")
    assert "Jobyard already runs in" in second.output()
    assert first.process.poll() is None
    press_ctrl_c(own_yard, first)


def test_jobs_that_run_at_ctrl_c_are_handed_back_and_count_nothing(own_yard: WholeYard) -> None:
    running = own_yard.open()
    base = f"http://127.0.0.1:{own_yard.port('API')}"
    order = {"then": "sleep", "seconds": 30}
    path = f"{base}/v1/tasks/bad.deed/jobs"
    for queue in ("default", "images"):  # threads, and child processes
        httpx.post(f"{path}/bulk", params={"queue": queue}, json=[order] * 2).raise_for_status()

    def jobs(**query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(
            f"{base}/v1/jobs", params={"task": "bad.deed"} | query
        ).json()["jobs"]
        return found

    wait_until(lambda: len(jobs(status="running")) == 4, 20, "all of them to run")
    press_ctrl_c(own_yard, running)
    again = own_yard.open()
    wait_until(lambda: len(jobs(status="running")) == 4, 20, "all of them to run again")
    assert {(job["attempt"], job["lost"]) for job in jobs()} == {(2, 0)}
    press_ctrl_c(own_yard, again)


def test_a_file_called_env_counts_less_than_the_environment(own_yard: WholeYard) -> None:
    file = own_yard.home / "settings.env"
    file.write_text(f"JOBYARD_API__PORT=1\nJOBYARD_WORKER__THREADS=3\nJOBYARD_HOME={own_yard.home}/other\n")
    own_yard.settings["JOBYARD_ENV_FILE"] = str(file)
    running = own_yard.open()
    workers = httpx.get(f"http://127.0.0.1:{own_yard.port('API')}/v1/workers").json()
    assert 3 in [worker["concurrency"] for worker in workers]
    press_ctrl_c(own_yard, running)
