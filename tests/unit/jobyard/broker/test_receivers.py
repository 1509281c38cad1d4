"""Receivers that would wait for what is never sent are refused, with the way out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import signals

from jobyard.broker.receivers import check_receivers, send
from jobyard.jobs.errors import TaskDeclarationError


@contextmanager
def connected(signal: Any, receiver: Any) -> Iterator[None]:
    signal.connect(receiver, weak=False)
    try:
        yield
    finally:
        signal.disconnect(receiver)


def on_publish(**_: Any) -> None: ...


@pytest.mark.parametrize(
    ("name", "way_out"),
    [("before_task_publish", "jobyard.signals.job_accepted"), ("task_received", "task_prerun")],
)
def test_a_receiver_of_what_is_never_sent_is_refused_by_its_name(name: str, way_out: str) -> None:
    with (
        connected(getattr(signals, name), on_publish),
        pytest.raises(TaskDeclarationError, match=rf"test_receivers\.on_publish.*{name}.*{way_out}"),
    ):
        check_receivers()
    check_receivers()


def test_what_one_receiver_raises_keeps_no_other_from_hearing() -> None:
    heard = []

    def failing(**_: Any) -> None:
        raise SystemExit(3)

    def hearing(sender: object, **arguments: Any) -> None:
        heard.append((sender, arguments["number"]))

    signal: Any = signals.after_task_publish
    with connected(signal, failing), connected(signal, hearing):
        send(signal, "some.task", number=7)
    assert heard == [("some.task", 7)]
