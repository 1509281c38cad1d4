"""Sending past Celery: the same messages as Celery's own, and on RabbitMQ none that nobody confirmed."""

import json
from collections import defaultdict
from typing import Any

import httpx

from jobyard.jobs.job import Status
from tests.support.broker import RawMessage, on_every_broker, on_rabbitmq
from tests.support.own_yard import OwnYard
from tests.support.rabbitmq_broker import RabbitMQBroker


def compared(message: RawMessage) -> dict[str, Any]:
    """Return what a message says, without what is new in each of them."""
    properties, headers = dict(message.properties), dict(message.headers)
    del headers["origin"]  # the thread that asked
    for name in (
        "delivery_tag",
        "reply_to",
        "argsrepr",
        "kwargsrepr",
    ):  # Celery reads the last in the headers
        properties.pop(name, None)
    return {
        "headers": headers,
        "properties": properties,
        "body": json.loads(message.body),
        "type": (message.content_type, message.content_encoding),
    }


@on_every_broker
def test_the_broker_gets_the_messages_that_celery_would_send(own: OwnYard) -> None:
    own.start_worker(queues="images").stop()  # whoever is first declares the queues
    sent = own.run("tests.support.send_both_ways")
    assert sent.returncode == 0, sent.stderr
    both = defaultdict(list)
    for message in own.broker.peek("default") + own.broker.peek("email"):
        both[message.headers["id"]].append(compared(message))
    assert len(both) == 5
    for by_celery, by_post in both.values():
        assert by_celery == by_post
    jobs = [job_id[-1] for job_id in own.sent()]
    assert jobs == ["1", "2", "3", "4", "7"] * 2


def post(own: OwnYard, priority: int = 4) -> str:
    url = f"http://127.0.0.1:{own.port('API')}/v1/tasks/bad.deed/jobs?priority={priority}"
    answer = httpx.post(url, json={"then": "return", "journal": str(own.journal)})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def is_published(own: OwnYard, job_id: str) -> bool:
    return own.job(job_id).published_at is not None


@on_rabbitmq
def test_a_line_that_was_cut_while_nobody_spoke_costs_no_message(own: OwnYard) -> None:
    api = own.start_api()
    first = post(own)
    own.wait_until(lambda: is_published(own, first), 10, "the first message")
    own.broker.reset_connections()
    second = post(own)
    own.wait_until(lambda: is_published(own, second), 10, "the second message")
    assert own.broker.depth() == 2
    assert "not published" not in api.output()


@on_rabbitmq
def test_a_message_that_leads_nowhere_is_noticed_and_its_queue_made_again(own: OwnYard) -> None:
    api = own.start_api()
    first = post(own)
    own.wait_until(lambda: is_published(own, first), 10, "the first message")
    assert isinstance(own.broker, RabbitMQBroker)
    with own.broker.connected() as connection:
        connection.channel().queue_delete("jobyard.default")
    lost = post(own)
    said = "no queue jobyard.default any more"
    own.wait_until(lambda: said in api.output(), 10, "the return to be noticed")
    assert not is_published(own, lost)
    own.start_worker()
    own.wait_for([first, lost, post(own)], Status.SUCCEEDED)
    assert api.output().count("not published") == 1


@on_rabbitmq
def test_a_message_that_rabbitmq_refuses_is_sent_again(own: OwnYard) -> None:
    assert isinstance(own.broker, RabbitMQBroker)
    api = own.start_api()
    first = post(own)
    own.wait_until(lambda: is_published(own, first), 10, "the first message")
    own.broker.refuse_messages()
    refused = post(own)
    own.wait_until(lambda: "refused a message" in api.output(), 10, "the refusal to be noticed")
    assert not is_published(own, refused)
    own.broker.accept_messages()
    own.start_worker()
    own.wait_for([first, refused], Status.SUCCEEDED)
