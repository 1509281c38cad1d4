"""What Celery is told, for each kind of broker."""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

from config.queues import QUEUES
from jobyard.broker.celery_options import celery_options
from jobyard.settings import Settings
from jobyard.settings.queues import PRIORITIES, broker_priority
from jobyard.settings.sections import BrokerSettings, RedisSettings

NAMES = {"default", *(queue.name for queue in QUEUES)}


def options(broker_url: str, **settings: Any) -> dict[str, Any]:
    return celery_options(Settings(broker=BrokerSettings(url=broker_url), **settings))


REDIS, AMQP = "redis://example.org:6379/0", "amqp://example.org//"
SENTINEL = "sentinel://ada:pass@one.example.org,two.example.org:26380/3?master=yard&sentinel_password=word"


def test_the_same_settings_give_the_same_options() -> None:
    def plain(told: dict[str, Any]) -> str:
        return json.dumps(told, default=repr, sort_keys=True)

    assert plain(options(REDIS)) == plain(options(REDIS))
    assert plain(options(REDIS)) != plain(options(AMQP))


@pytest.mark.parametrize("url", [REDIS, AMQP, "rediss://example.org", "amqps://example.org", SENTINEL])
def test_a_message_is_json_and_is_acknowledged_when_the_outcome_is_written(url: str) -> None:
    told = options(url)
    assert urlsplit(told["broker_url"]).scheme == urlsplit(url).scheme
    assert told["accept_content"] == ["json"]
    assert told["task_serializer"] == "json"
    assert told["task_acks_late"] is True
    assert told["worker_prefetch_multiplier"] == 1
    assert told["result_backend"] is None
    assert told["broker_channel_error_retry"] is True
    assert told["broker_connection_max_retries"] is None


@pytest.mark.parametrize("url", [REDIS, "rediss://example.org", SENTINEL])
def test_redis_has_a_list_for_each_priority_and_is_waited_for_no_longer_than_set(url: str) -> None:
    told = celery_options(Settings(broker=BrokerSettings.model_validate({"url": url, "timeout": "3"})))
    transport = told["broker_transport_options"]
    assert transport["priority_steps"] == list(PRIORITIES)
    assert transport["queue_order_strategy"] == "priority"
    assert transport["socket_timeout"] == transport["socket_connect_timeout"] == 3.0
    assert transport["health_check_interval"] == told["broker_connection_timeout"] == 3.0
    assert all(queue.queue_arguments is None for queue in told["task_queues"])


@pytest.mark.parametrize("url", [AMQP, "amqps://example.org"])
def test_rabbitmq_has_queues_with_ten_priorities(url: str) -> None:
    told = options(url)
    assert {queue.name: queue.alias for queue in told["task_queues"]} == {f"jobyard.{n}": n for n in NAMES}
    assert all(queue.queue_arguments == {"x-max-priority": 9} for queue in told["task_queues"])
    assert "priority_steps" not in told["broker_transport_options"]
    assert "socket_timeout" not in told["broker_transport_options"]


def test_kombu_keeps_our_transport_when_it_goes_on_to_another_node() -> None:
    told = options("amqps://ada:x@one/shop?ssl_cert_reqs=none;amqps://ada:x@two/shop")
    nodes = told["broker_url"].split(";")
    assert [node.partition("://")[2] for node in nodes] == ["ada:x@one/shop", "ada:x@two/shop"]
    assert {TRANSPORT_ALIASES[node.partition("://")[0]] for node in nodes} == {told["broker_transport"]}


def test_quorum_queues_come_in_two_bands_and_answer_to_the_name_of_the_queue() -> None:
    told = celery_options(Settings(broker=BrokerSettings(url=AMQP, queue_type="quorum")))
    assert {queue.name: queue.alias for queue in told["task_queues"]} == {
        f"jobyard.{name}.{band}": name if band == "usual" else None
        for name in NAMES
        for band in ("usual", "urgent")
    }
    assert all(queue.queue_arguments == {"x-queue-type": "quorum"} for queue in told["task_queues"])


def test_the_transport_to_sentinels_is_told_who_they_are_and_which_master_is_meant() -> None:
    told = options(SENTINEL)
    assert told["broker_url"] == "sentinel://ada:pass@one.example.org/3"
    assert told["broker_transport"] == "jobyard.broker.redis.sentinel_transport:Transport"
    transport = told["broker_transport_options"]
    assert transport["sentinels"] == (("one.example.org", 26379), ("two.example.org", 26380))
    assert transport["master_name"] == "yard"
    assert transport["sentinel_kwargs"]["password"] == "word"
    assert "ssl" not in transport["sentinel_kwargs"]
    assert told["broker_use_ssl"] is None


def test_tls_is_spelt_out_and_certificates_are_checked_unless_the_url_says_otherwise() -> None:
    checked = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    assert options("rediss://example.org")["broker_use_ssl"] == checked
    unchecked = options("rediss://example.org?ssl_cert_reqs=none&ssl_check_hostname=false")
    assert unchecked["broker_use_ssl"] == {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    assert unchecked["broker_url"] == "rediss://example.org"
    told = options(f"{SENTINEL}&tls=true")
    assert told["broker_use_ssl"] == checked
    asked = told["broker_transport_options"]["sentinel_kwargs"]
    assert asked.items() >= ({"ssl": True} | checked).items()
    assert options(REDIS)["broker_use_ssl"] is None


def test_the_prefix_stands_before_the_names_of_queues_and_schedules() -> None:
    told = options(REDIS, redis=RedisSettings(prefix="shop:"))
    assert told["broker_transport_options"]["global_keyprefix"] == "shop:jobyard:"
    assert told["redbeat_key_prefix"] == "shop:jobyard:beat:"
    assert options(REDIS)["broker_transport_options"]["global_keyprefix"] == "jobyard:"


@pytest.mark.parametrize("url", [REDIS, AMQP, "sqs://?region=eu-central-1"])
def test_a_broker_that_is_away_is_noticed_at_once(url: str) -> None:
    transport = options(url)["broker_transport_options"]
    assert (transport["max_retries"], transport["interval_start"], transport["interval_step"]) == (3, 0, 0)


def test_no_queue_comes_into_being_by_a_slip_of_the_pen() -> None:
    told = options(REDIS)
    assert told["task_create_missing_queues"] is False
    assert told["task_default_queue"] == "default"
    assert {queue.routing_key for queue in told["task_queues"]} == NAMES


def test_beat_keeps_its_schedules_in_redis_whatever_the_broker_is() -> None:
    told = options(AMQP, redis=RedisSettings(url="redis://other/1"))
    assert told["redbeat_redis_url"] == "redis://other/1"
    assert told["redbeat_key_prefix"].startswith("jobyard:")
    assert told["beat_max_loop_interval"] < told["redbeat_lock_timeout"]


@pytest.mark.parametrize("url", [REDIS, "rediss://example.org", SENTINEL])
def test_nine_is_first_on_redis_where_zero_is(url: str) -> None:
    assert [broker_priority(priority, url) for priority in PRIORITIES] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("url", [AMQP, "amqps://example.org", "sqs://?region=eu-central-1"])
def test_nine_is_first_elsewhere_where_nine_is(url: str) -> None:
    assert [broker_priority(priority, url) for priority in PRIORITIES] == list(PRIORITIES)


def test_every_queue_of_this_application_has_a_purpose() -> None:
    assert all(queue.purpose for queue in QUEUES)


@pytest.mark.parametrize(
    ("broker", "redis"),
    [
        ("redis://:s3cret@127.0.0.1/0", None),
        ("rediss://me:s3cret@127.0.0.1/0", None),
        ("sentinel://:s3cret@127.0.0.1/0?master=yard&sentinel_password=s3cret", None),
        ("amqp://me:s3cret@127.0.0.1/", "redis://:s3cret@127.0.0.1/0"),
    ],
)
def test_what_workers_tell_flower_of_their_configuration_holds_no_password(
    broker: str, redis: str | None
) -> None:
    app = Celery("tests", set_as_current=False)
    app.conf.update(
        celery_options(Settings(broker=BrokerSettings(url=broker), redis=RedisSettings(url=redis)))
    )
    assert "s3cret" not in repr(app.conf.table(with_defaults=True))
