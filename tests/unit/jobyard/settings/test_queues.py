"""Queues as data: which names there can be, what a setting says, and what becomes of two declarations."""

import pytest

from jobyard.settings import SettingsError
from jobyard.settings.queues import (
    LONGEST_NAME,
    Queue,
    QueueKind,
    merge_queues,
    parse_queues,
    queues_by_name,
)


@pytest.mark.parametrize("name", ["reports", "gpu-2", "a", "A.b_c-9", "x" * LONGEST_NAME, "default.low"])
def test_a_plain_name_is_taken(name: str) -> None:
    assert Queue(name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "re ports",
        "reports\n",
        "-x",
        ".x",
        "ü",
        "a/b",
        "a:b",
        "a*",
        "x" * (LONGEST_NAME + 1),
        "x" * 200,
    ],
)
def test_a_name_with_odd_characters_or_of_odd_length_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"cannot be called .*write 1 to {LONGEST_NAME} of the characters"
    ):
        Queue(name)


def test_a_name_that_is_much_too_long_is_not_repeated_as_a_whole() -> None:
    with pytest.raises(SettingsError) as error:
        Queue("x" * 5000)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    "name",
    ["celery", "celeryev", "celeryev.1", "io@host.celery.pidbox", "unacked", "unacked_index", "amq.topic"],
)
def test_a_name_of_celerys_or_the_brokers_own_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="which Celery or the broker uses itself: choose another name"):
        Queue(name)


@pytest.mark.parametrize("name", ["reports.usual", "reports.urgent", "jobyard.reports"])
def test_a_name_that_would_be_a_part_of_a_queue_on_rabbitmq_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="on RabbitMQ"):
        Queue(name)


def test_a_kind_may_be_written_as_text_and_others_are_refused() -> None:
    written: QueueKind = "prefork"  # type: ignore[assignment]
    assert Queue("gpu", kind=written).kind is QueueKind.PREFORK
    wrong: QueueKind = "gevent"  # type: ignore[assignment]
    with pytest.raises(SettingsError, match="'gpu': its kind is threads or prefork, not 'gevent'"):
        Queue("gpu", kind=wrong)


@pytest.mark.parametrize(
    ("text", "queues"),
    [
        ("", ()),
        ("reports", (Queue("reports"),)),
        (" reports = threads , gpu=prefork,", (Queue("reports"), Queue("gpu", kind=QueueKind.PREFORK))),
        ("gpu=prefork,gpu=prefork", (Queue("gpu", kind=QueueKind.PREFORK),)),
    ],
)
def test_the_setting_names_queues_and_their_kinds(text: str, queues: tuple[Queue, ...]) -> None:
    assert parse_queues(text) == queues


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("gpu=cuda", "'gpu=cuda' names no kind: write NAME=threads or NAME=prefork"),
        ("gpu=threads=4", "names no kind"),
        ("gpu,gpu=prefork", "'gpu' is declared twice, and differently"),
        ("=prefork", "cannot be called ''"),
        ("two words", "cannot be called 'two words'"),
        ("celery", "cannot be called 'celery'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_is_wrong(text: str, fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        parse_queues(text)


def test_two_declarations_that_differ_are_refused_and_equal_ones_are_one() -> None:
    gpu = Queue("gpu", "previews", QueueKind.PREFORK)
    assert queues_by_name([gpu, gpu]) == {"gpu": gpu}
    with pytest.raises(SettingsError, match="'gpu' is declared twice"):
        queues_by_name([gpu, Queue("gpu", "previews")])


def test_the_operators_kind_wins_and_the_purpose_stays() -> None:
    known = {"gpu": Queue("gpu", "previews", QueueKind.PREFORK)}
    merged = merge_queues(known, [Queue("gpu"), Queue("new")])
    assert merged == {"gpu": Queue("gpu", "previews", QueueKind.THREADS), "new": Queue("new")}
