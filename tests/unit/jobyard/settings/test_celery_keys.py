"""Every setting that Celery knows is known here, by each of its names, with what it is."""

import re

import pytest
from celery.app.defaults import _TO_OLD_KEY, DEFAULTS  # type: ignore[attr-defined]

from jobyard.settings.celery_keys import CELERY_KEYS, Meaning, celery_key, old_name
from jobyard.settings.settings import ENV_PREFIX, Settings
from jobyard.settings.variables import unknown_variables

# Settings that come with the parts that honour them.
PENDING = {"JOBYARD_TASKS__EAGER"}


def test_no_setting_of_celerys_is_missing_and_none_is_invented() -> None:
    assert set(CELERY_KEYS) == set(DEFAULTS)


def test_the_old_names_are_celerys() -> None:
    assert {name: old_name(name) for name in CELERY_KEYS} == dict(_TO_OLD_KEY)


@pytest.mark.parametrize(
    ("name", "namespace", "key"),
    [
        ("broker_url", "", "broker_url"),
        ("BROKER_URL", "", "broker_url"),
        ("CELERYD_CONCURRENCY", "", "worker_concurrency"),
        ("CELERY_TASK_SERIALIZER", "", "task_serializer"),
        ("CELERY_BROKER_URL", "CELERY", "broker_url"),
        ("CELERY_TASK_ALWAYS_EAGER", "CELERY", "task_always_eager"),
        ("PROJ_TIMEZONE", "PROJ", "timezone"),
    ],
)
def test_a_key_is_found_by_every_name_that_celery_takes(name: str, namespace: str, key: str) -> None:
    found = celery_key(name, namespace)
    assert found is not None
    assert found.name == key


@pytest.mark.parametrize(("name", "namespace"), [("colour", ""), ("CELERY_COLOUR", "CELERY"), ("", "")])
def test_what_celery_does_not_know_is_no_key(name: str, namespace: str) -> None:
    assert celery_key(name, namespace) is None


def test_every_key_has_a_sentence() -> None:
    assert [key.name for key in CELERY_KEYS.values() if len(key.sentence) < 10] == []


def test_the_settings_that_are_named_exist() -> None:
    named = {
        name for key in CELERY_KEYS.values() for name in re.findall(rf"{ENV_PREFIX}\w+", key.sentence)
    } - PENDING
    assert len(named) > 8
    assert unknown_variables(Settings, named) == []


@pytest.mark.parametrize(
    ("name", "value", "meaning"),
    [
        ("task_serializer", "json", Meaning.HARMLESS),
        ("task_serializer", "pickle", Meaning.REFUSED),
        ("accept_content", ["json"], Meaning.HARMLESS),
        ("accept_content", ["json", "pickle"], Meaning.REFUSED),
        ("accept_content", [["json"]], Meaning.REFUSED),
        ("enable_utc", True, Meaning.HARMLESS),
        ("enable_utc", 1, Meaning.REFUSED),
        ("broker_url", None, Meaning.REFUSED),
        ("task_acks_late", False, Meaning.HARMLESS),
        ("task_always_eager", True, Meaning.HONOURED),
    ],
)
def test_a_value_that_says_what_is_so_anyway_is_harmless(name: str, value: object, meaning: Meaning) -> None:
    assert CELERY_KEYS[name].meaning_of(value) is meaning
