"""What is said of a broker's URL that is wrong, or leads to nobody now, by real servers of every kind."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Final

import pytest
from kombu import Connection, Queue

from jobyard.broker.checks.broker import broker_fault, separate_redis_fault
from jobyard.broker.checks.fault import Fault
from jobyard.settings import Settings
from jobyard.settings.sections import BrokerSettings, RedisSettings
from tests.support.certificates import Certificate, make_certificate
from tests.support.guarded_brokers import (
    ENCODED,
    SHORTEST_PART,
    GuardedRabbitMQ,
    GuardedRedis,
    guarded_rabbitmq,
    guarded_redis,
)
from tests.support.postgresql import SERVER
from tests.support.processes import free_port
from tests.support.rabbitmq_node import require_rabbitmq
from tests.support.strangers import HTTP, SMTP, stranger, swallower

pytestmark = pytest.mark.timeout(180)

KINDS: Final = ("redis", "amqp")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[GuardedRedis]:
    with guarded_redis(tmp_path_factory.mktemp("redis"), certificate) as server:
        yield server


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[GuardedRabbitMQ]:
    require_rabbitmq()
    with guarded_rabbitmq(tmp_path_factory.mktemp("rabbitmq"), certificate) as server:
        yield server


def fault(url: str) -> Fault | None:
    return broker_fault(Settings(broker=BrokerSettings(url=url, timeout=timedelta(seconds=1))))


def said(url: str, *, is_wrong: bool) -> str:
    """Return what is said of a URL, which names its setting and never the password."""
    found = fault(url)
    assert found is not None
    assert found.is_wrong is is_wrong, found.sentence
    assert found.sentence.startswith("JOBYARD_BROKER__URL: ")
    assert SHORTEST_PART not in found.sentence
    return found.sentence.removeprefix("JOBYARD_BROKER__URL: ")


def test_nothing_is_said_of_a_broker_that_answers_as_it_should(
    redis: GuardedRedis, rabbitmq: GuardedRabbitMQ
) -> None:
    assert fault(redis.url()) is None
    assert fault(rabbitmq.url()) is None
    assert fault(rabbitmq.url(vhost="%2F")) is None


@pytest.mark.parametrize("login", ["", ":s3cret-wrong@", "ada:s3cret-wrong@"])
def test_a_redis_that_refuses_the_password_is_named_with_what_it_answers(
    redis: GuardedRedis, login: str
) -> None:
    told = said(f"redis://{login}127.0.0.1:{redis.port}/0", is_wrong=True)
    refused = "refuses the user or the password (invalid username-password pair"
    words = refused if login else "wants a password: write redis://:PASSWORD@host"
    assert f"Redis at 127.0.0.1:{redis.port} {words}" in told
    assert "percent-encoded" in told


@pytest.mark.parametrize("login", ["ada:s3cret-wrong@", "nobody:s3cret@", "guest:s3cret@"])
def test_a_rabbitmq_that_refuses_the_login_is_named_with_the_user(
    rabbitmq: GuardedRabbitMQ, login: str
) -> None:
    told = said(f"amqp://{login}127.0.0.1:{rabbitmq.port}/", is_wrong=True)
    user = login.partition(":")[0]
    assert f"RabbitMQ at 127.0.0.1:{rabbitmq.port} refuses the user '{user}' with this password" in told
    assert "ACCESS_REFUSED" in told


@pytest.mark.parametrize("vhost", ["nosuch", "foreign", "/x"])
def test_a_virtual_host_that_is_not_or_is_not_ours_is_named(rabbitmq: GuardedRabbitMQ, vhost: str) -> None:
    told = said(rabbitmq.url(vhost=vhost), is_wrong=True)
    assert f"does not let this user into the virtual host '{vhost}'" in told
    assert "rabbitmqctl set_permissions" in told


def test_a_database_that_is_not_there_is_named(redis: GuardedRedis) -> None:
    told = said(redis.url(db=16), is_wrong=True)
    assert "has no database 16" in told
    assert "index is out of range" in told


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("answer", "greets", "name"),
    [
        (HTTP, False, "an HTTP server"),
        (SMTP, True, "'220 "),
        (b"+OK hi\r\n", True, "'+OK hi"),
    ],
)
def test_a_port_where_something_else_answers_is_named_with_what_it_is(
    kind: str, answer: bytes, greets: bool, name: str
) -> None:
    with stranger(answer, greets=greets) as port:
        told = said(f"{kind}://ada:s3cret@127.0.0.1:{port}/", is_wrong=True)
    assert name in told
    assert f"answers at 127.0.0.1:{port}, and not R" in told


@pytest.mark.postgresql
@pytest.mark.parametrize("kind", KINDS)
def test_a_database_in_the_brokers_place_is_named(kind: str) -> None:
    place = SERVER.partition("@")[2].partition("/")[0]
    assert f"PostgreSQL answers at {place}" in said(f"{kind}://ada:s3cret@{place}/", is_wrong=True)


def test_the_other_kind_of_broker_is_named_with_its_scheme(
    redis: GuardedRedis, rabbitmq: GuardedRabbitMQ
) -> None:
    told = said(f"redis://:{ENCODED}@127.0.0.1:{rabbitmq.port}/0", is_wrong=True)
    assert told.startswith(f"RabbitMQ answers at 127.0.0.1:{rabbitmq.port}: write amqp://")
    told = said(f"amqp://ada:{ENCODED}@127.0.0.1:{redis.port}/", is_wrong=True)
    assert told.startswith(f"Redis answers at 127.0.0.1:{redis.port}: write redis://")


def test_tls_where_there_is_none_and_none_where_there_is_are_told(
    redis: GuardedRedis, rabbitmq: GuardedRabbitMQ
) -> None:
    for scheme, port, advice in (
        ("rediss", redis.port, "answers without TLS: write redis://"),
        ("amqps", rabbitmq.port, "answers without TLS: write amqp://"),
        ("redis", redis.tls_port, "speaks TLS: write rediss://"),
        ("amqp", rabbitmq.tls_port, "speaks TLS: write amqps://"),
    ):
        told = said(f"{scheme}://ada:{ENCODED}@127.0.0.1:{port}/", is_wrong=True)
        assert told.startswith(f"127.0.0.1:{port} {advice}")


@pytest.mark.parametrize("scheme", ["rediss", "amqps"])
def test_a_certificate_that_nobody_vouches_for_is_told(scheme: str, request: pytest.FixtureRequest) -> None:
    port = request.getfixturevalue("redis" if scheme == "rediss" else "rabbitmq").tls_port
    told = said(f"{scheme}://ada:{ENCODED}@127.0.0.1:{port}/", is_wrong=True)
    assert f"the certificate of 127.0.0.1:{port} is not trusted (self-signed certificate)" in told
    assert "ssl_ca_certs=FILE" in told


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_silent", [False, True])
def test_nobody_there_now_is_no_mistake(kind: str, is_silent: bool) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(swallower()) if is_silent else free_port()
        told = said(f"{kind}://ada:s3cret@127.0.0.1:{port}/", is_wrong=False)
    assert told.startswith(f"127.0.0.1:{port} does not answer" if is_silent else "no server listens at ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_leads_nowhere_now_is_no_mistake(kind: str) -> None:
    told = said(f"{kind}://ada:s3cret@broker.invalid/", is_wrong=False)
    assert told.startswith("the name 'broker.invalid' has no address now")


@pytest.mark.parametrize("scheme", ["rediss", "amqps"])
def test_a_certificate_that_the_url_vouches_for_is_right(
    scheme: str, certificate: Certificate, request: pytest.FixtureRequest
) -> None:
    port = request.getfixturevalue("redis" if scheme == "rediss" else "rabbitmq").tls_port
    login = "" if scheme == "rediss" else "ada"
    assert fault(f"{scheme}://{login}:{ENCODED}@127.0.0.1:{port}/?ssl_ca_certs={certificate.path}") is None


@pytest.mark.parametrize("scheme", ["rediss", "amqps"])
def test_a_certificate_of_another_host_is_told(
    scheme: str, certificate: Certificate, request: pytest.FixtureRequest
) -> None:
    port = request.getfixturevalue("redis" if scheme == "rediss" else "rabbitmq").tls_port
    elsewhere = f"{scheme}://ada:{ENCODED}@127.1:{port}/?ssl_ca_certs={certificate.path}"
    assert "is not trusted (Hostname mismatch" in said(elsewhere, is_wrong=True)


def test_sentinels_that_are_away_and_a_redis_that_is_none_are_told(redis: GuardedRedis) -> None:
    place = f"127.0.0.1:{free_port()}/0?master=shop"
    told = said(f"sentinel://:s3cret@{place}&sentinel_password=s3cret", is_wrong=False)
    assert "names a master 'shop' now" in told
    place = f"127.0.0.1:{redis.port}/0?master=shop&sentinel_password={ENCODED}"
    told = said(f"sentinel://:{ENCODED}@{place}", is_wrong=True)
    assert "is not a Sentinel" in told


def test_one_node_that_answers_is_enough(rabbitmq: GuardedRabbitMQ) -> None:
    dead = f"amqp://ada:s3cret@127.0.0.1:{free_port()}/"
    assert fault(f"{dead};{rabbitmq.url()}") is None
    said(f"{dead};{rabbitmq.url('s3cret-wrong')}", is_wrong=False)
    said(f"{rabbitmq.url('s3cret-wrong')};{rabbitmq.url(vhost='nosuch')}", is_wrong=True)


def test_a_user_without_rights_to_the_queues_is_told(rabbitmq: GuardedRabbitMQ) -> None:
    rabbitmq.make_vhost("barred", configure="^$")
    told = said(rabbitmq.url(vhost="barred"), is_wrong=True)
    assert "does not let this user use Jobyard's queues (ACCESS_REFUSED" in told
    assert "set_permissions" in told


def test_a_queue_of_another_kind_in_its_place_is_told(rabbitmq: GuardedRabbitMQ) -> None:
    rabbitmq.make_vhost("taken")
    with Connection(rabbitmq.url(vhost="taken")) as connection:
        Queue("jobyard.email")(connection.default_channel).declare()
    told = said(rabbitmq.url(vhost="taken"), is_wrong=True)
    assert "PRECONDITION_FAILED" in told
    assert "'jobyard.email'" in told


def test_the_redis_beside_the_broker_is_looked_at_by_its_own_name(redis: GuardedRedis) -> None:
    def beside(url: str | None) -> Fault | None:
        broker = BrokerSettings(url=redis.url(), timeout=timedelta(seconds=1))
        return separate_redis_fault(Settings(broker=broker, redis=RedisSettings(url=url)))

    assert beside(None) is None
    assert beside(redis.url(db=1)) is None
    found = beside(redis.url("s3cret-wrong"))
    assert found is not None
    assert found.is_wrong
    assert found.sentence.startswith("JOBYARD_REDIS__URL: Redis at")
    assert SHORTEST_PART not in found.sentence
