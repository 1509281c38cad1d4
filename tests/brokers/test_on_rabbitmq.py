"""The tests in which a broker takes part, once more in a run of their own whose broker is RabbitMQ."""

import os
import subprocess
import sys

import pytest

from tests.support.broker import RABBITMQ
from tests.support.processes import ROOT
from tests.support.rabbitmq_node import require_rabbitmq

FILES = ("test_worker.py", "api/test_queues_and_workers.py", "api/test_bulk.py")


@pytest.mark.rabbitmq
@pytest.mark.timeout(300)
@pytest.mark.skipif(os.environ.get("TEST_BROKER") == RABBITMQ, reason="this is that run")
def test_what_holds_on_redis_holds_on_rabbitmq() -> None:
    require_rabbitmq()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, *(f"tests/integration/{name}" for name in FILES)],
        env=os.environ | {"TEST_BROKER": RABBITMQ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert "skipped" not in run.stdout.splitlines()[-1]
