"""A fresh yard for each fault, with its broker started; nothing of it outlives the test."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.broker import RABBITMQ, REDIS, Broker
from tests.support.own_yard import QUICK, OwnYard, opened
from tests.support.postgresql import new_database
from tests.support.processes import Program
from tests.support.rabbitmq_broker import RabbitMQBroker


@pytest.fixture
def broker_name() -> str:
    """The kind of broker; `tests.support.broker.on_every_broker` runs a test on each."""
    return REDIS


@pytest.fixture
def broker(broker_name: str, request: pytest.FixtureRequest) -> Broker | None:
    """A broker that is not the yard's own Valkey, or None."""
    if broker_name != RABBITMQ:
        return None
    return RabbitMQBroker(request.getfixturevalue("rabbitmq_node"))


@pytest.fixture
def own(tmp_path: Path, broker: Broker | None) -> Iterator[OwnYard]:
    """A yard with short patience: a lease of 3 s, re-sent after 2 s."""
    with opened(tmp_path, dict(QUICK), broker) as yard:
        yield yard


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def on_either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnYard]:
    """The same on each kind of ledger."""
    with ExitStack() as stack:
        ledger = {}
        if request.param == "postgresql":
            ledger["JOBYARD_LEDGER__URL"] = stack.enter_context(new_database())
        yield stack.enter_context(opened(tmp_path, QUICK | ledger))


@pytest.fixture
def own_worker(own: OwnYard) -> Program:
    """A worker of that yard with four threads."""
    return own.start_worker()
