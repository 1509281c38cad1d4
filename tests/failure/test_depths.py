"""What is known of how many messages wait: asked over one line, which outlives whatever happens to it."""

import signal
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import httpx
import pytest

from tests.support.broker import on_every_broker, on_redis_alone
from tests.support.own_yard import OwnYard

ALL_EMPTY = {"default": 0, "email": 0, "images": 0, "collect": 0}


@pytest.fixture
def waiting(own: OwnYard) -> OwnYard:
    """A yard whose API has sent one message, which nobody takes."""
    own.start_api()
    url = f"http://127.0.0.1:{own.port('API')}/v1/tasks/bad.deed/jobs"
    answer = httpx.post(url, json={"then": "return", "journal": str(own.journal)})
    assert answer.status_code == 202, answer.text
    own.wait_until(lambda: own.broker.depth() == 1, 20, "the message")
    return own


@on_every_broker
def test_a_queue_that_nobody_has_used_is_empty_and_the_others_are_counted(own: OwnYard) -> None:
    own.start_api()
    assert own.depths() == own.depths() == ALL_EMPTY


@on_every_broker
def test_a_line_that_was_cut_or_a_broker_that_was_restarted_is_asked_anew_at_once(waiting: OwnYard) -> None:
    one = ALL_EMPTY | {"default": 1}
    assert waiting.depths() == one
    waiting.broker.reset_connections()
    assert waiting.depths() == one
    waiting.broker.restart()
    assert waiting.depths() == one


@on_every_broker
def test_of_a_broker_that_is_gone_nothing_is_known_until_it_is_back(waiting: OwnYard) -> None:
    assert waiting.depths()["default"] == 1
    waiting.broker.kill()
    assert set(waiting.depths().values()) == {None}
    waiting.broker.start()
    assert waiting.depths()["default"] == 1


@on_every_broker
def test_many_who_ask_a_silent_broker_wait_for_it_once_and_not_one_after_another(waiting: OwnYard) -> None:
    assert waiting.depths()["default"] == 1
    waiting.broker.kill(signal.SIGSTOP)
    began = monotonic()
    with ThreadPoolExecutor(8) as callers:
        said = list(callers.map(lambda _: waiting.depths(60), range(8)))
    # Each as long as the broker may be silent, behind another who does: twice 2 s. One by one it were 16.
    assert monotonic() - began < 10
    assert all(set(each.values()) == {None} for each in said)
    waiting.broker.kill(signal.SIGCONT)
    waiting.wait_until(lambda: waiting.depths()["default"] == 1, 20, "the broker to answer again")


@on_redis_alone("only Redis tells who is connected")
def test_to_ask_again_opens_no_other_connection(waiting: OwnYard) -> None:
    redis = waiting.redis
    waiting.depths()
    before = {client["id"] for client in redis.client_list()}
    for _ in range(5):
        waiting.depths()
    assert {client["id"] for client in redis.client_list()} == before
