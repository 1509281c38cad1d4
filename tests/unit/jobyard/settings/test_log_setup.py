"""The log: one line for each event, whoever writes it, and no secrets in it."""

import json
import subprocess
import sys
from typing import Any

from tests.support.processes import ROOT

# The set-up is for a whole process, so each test has one of its own.
SET_UP = """
import logging, structlog
from jobyard.settings.log_setup import set_up_logging
from jobyard.settings.sections import LogSettings
set_up_logging(LogSettings(level={level!r}, format={format!r}))
log, library = structlog.get_logger("ours"), logging.getLogger("theirs")
"""
A_FAULT = """
def fail(password):
    raise ValueError("as ordered")
try:
    fail("hidden" + str(1))
except ValueError:
    log.exception("it failed", job_id="42")
"""


def logged(code: str, format: str = "json", level: str = "INFO") -> list[str]:
    program = SET_UP.format(level=level, format=format) + code
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stderr == ""
    return ran.stdout.splitlines()


def events(code: str, level: str = "INFO") -> list[dict[str, Any]]:
    return [json.loads(line) for line in logged(code, level=level)]


def test_our_events_and_those_of_libraries_look_the_same() -> None:
    ours, theirs = events("log.info('job done', job_id='42'); library.warning('%s is %d', 'it', 5)")
    assert (ours["event"], ours["level"], ours["job_id"]) == ("job done", "info", "42")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("it is 5", "warning", "theirs")
    assert ours["timestamp"].endswith("Z")
    assert theirs["timestamp"].endswith("Z")


def test_what_is_bound_is_in_every_event_of_the_block() -> None:
    bound, after = events(
        "with structlog.contextvars.bound_contextvars(job_id='42'):\n"
        "    library.warning('inside')\n"
        "log.info('outside')"
    )
    assert bound["job_id"] == "42"
    assert "job_id" not in after


def test_events_below_the_level_are_left_out() -> None:
    code = "log.debug('a'); log.info('b'); log.warning('c'); library.info('d'); library.error('e')"
    assert [event["event"] for event in events(code, "WARNING")] == ["c", "e"]
    assert [event["event"] for event in events(code, "DEBUG")] == ["a", "b", "c", "d", "e"]


def test_libraries_that_say_too_much_are_heard_from_warnings_on() -> None:
    code = (
        "for name in ('httpx', 'kombu', 'celery.app.trace'):\n"
        "    logging.getLogger(name).info('chatter')\n"
        "    logging.getLogger(name).warning('news')"
    )
    assert [event["event"] for event in events(code)] == ["news"] * 3


def test_on_the_console_an_event_is_one_line() -> None:
    first, second = logged("log.info('job done', job_id='42')\nlibrary.warning('careful')", "console")
    assert "job done" in first
    assert "job_id=42" in first
    assert "careful" in second
    assert "\x1b" not in first + second  # colours are for terminals


def test_setting_up_twice_does_not_double_the_lines() -> None:
    assert len(logged("set_up_logging(LogSettings(format='json')); log.info('once')")) == 1


def test_a_fault_as_json_is_one_line_with_its_traceback() -> None:
    [event] = events(A_FAULT)
    assert event["job_id"] == "42"
    assert "ValueError: as ordered" in event["exception"]


def test_a_fault_shows_its_traceback_and_not_the_variables_of_its_frames() -> None:
    for format in ("console", "json"):
        lines = logged(A_FAULT, format)
        assert "ValueError: as ordered" in "\n".join(lines)
        assert len(lines) < 20
        assert "hidden1" not in "\n".join(lines)
