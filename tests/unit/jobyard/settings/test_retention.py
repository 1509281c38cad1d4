"""How long jobs are kept, as a setting."""

import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from jobyard.settings.retention import DEFAULT, RetentionRule
from jobyard.settings.sections import LedgerSettings

DAY = timedelta(days=1)


def retention(value: Any) -> tuple[RetentionRule, ...]:
    return LedgerSettings(retention=value).retention


def test_a_setting_says_how_long_for_which_jobs() -> None:
    assert retention("P30D, dead=P90D,email.send=PT12H, email.send/succeeded=60 ") == (
        RetentionRule(30 * DAY),
        RetentionRule(90 * DAY, status="dead"),
        RetentionRule(DAY / 2, task="email.send"),
        RetentionRule(timedelta(seconds=60), task="email.send", status="succeeded"),
    )


@pytest.mark.parametrize(
    "name",
    ["sum", "dead", "a/b", "a/dead", "a, b", "a=b", 'say "x" \\', "Größe berechnen", "{x}.y", "proj.add"],
)
def test_a_task_of_any_name_stands_in_double_quotes(name: str) -> None:
    rules = (
        RetentionRule(DAY),
        RetentionRule(2 * DAY, task=name),
        RetentionRule(3 * DAY, task=name, status="dead"),
    )
    assert retention(", ".join(map(str, rules))) == rules
    quoted = json.dumps(name)
    assert retention(f"P1D,{quoted}=P2D , {quoted} / dead = 259200") == rules


def test_the_default_keeps_heartbeats_for_a_day_and_all_others_for_a_month() -> None:
    assert ", ".join(map(str, DEFAULT)) == "P30D, upkeep.heartbeat=P1D"
    assert LedgerSettings().retention == DEFAULT
    assert retention(", ".join(map(str, DEFAULT))) == DEFAULT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a while", "'a while' has no age: write P30D"),
        ("P30D, dead", "'dead' has no age"),
        ("P30D, dead=", "'dead=' has no age"),
        ("P30D, dead=-5", "'dead=-5' has no age"),
        ("P30D, gone=P1D", "names 'gone', which is not a final status: succeeded, dead, cancelled, expired"),
        ("P30D, email.send/gone=P1D", "names 'gone', which is not a final status"),
        ("P30D, a/b=P1D", 'write the name in double quotes: "a/b"=P1D'),
        ('P30D, "a/b"/gone=P1D', "names 'gone', which is not a final status"),
        ('P30D, "a\\q"=P1D', "no text in double quotes as JSON has it"),
        ('P30D, "a=P1D', "not a final status"),
        ("P30D, dead=P1D, dead=P2D", "names the age of the same jobs twice"),
        ("P30D, P20D", "names the age of the same jobs twice"),
        ("dead=P1D", "names no age for all other jobs"),
        ("", "names no age for all other jobs"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_to_write_it(text: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        retention(text)
