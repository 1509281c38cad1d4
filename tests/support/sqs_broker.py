"""SQS as the broker of a test: moto stands in for AWS, as a process that can be killed and silenced."""

import signal
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.support.broker import Broker, RawMessage
from tests.support.children import start_child
from tests.support.processes import answers, free_port
from tests.support.redis_broker import read, written
from tests.support.waiting import wait_until

REGION = "eu-central-1"
PREFIX = "jobyard-"
WAITING, IN_FLIGHT = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"


class SqsBroker(Broker):
    """A server of a test's own, which forgets everything when it ends."""

    name = "sqs"
    mark_of_a_publish = b"AmazonSQS.SendMessage"

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self._log = home / "sqs.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> dict[str, str]:
        return {"JOBYARD_BROKER__URL": self.url_by(self.port)}

    def url_by(self, port: int) -> str:
        return f"sqs://key:s%2Fcret@?region={REGION}&endpoint=http://127.0.0.1:{port}"

    @property
    def process_id(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    def names(self) -> set[str]:
        return {url.rpartition("/")[2] for url in self.client.list_queues().get("QueueUrls", ())}

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with self._log.open("ab") as log:
            self._process = start_child(command, stdout=log, stderr=log)
        wait_until(lambda: answers(self.port), 30, "SQS to answer")

    def stop(self) -> None:
        self.kill()

    def kill(self, with_signal: signal.Signals = signal.SIGKILL) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(with_signal)
        if with_signal is signal.SIGKILL:
            self._process.wait(10)

    def close(self) -> None:
        self.kill()

    def forget_everything(self) -> None:
        self.restart()

    def reset_connections(self) -> None:
        pytest.skip("requests to SQS have no connection that lasts")

    def fill_up(self) -> None:
        pytest.skip("SQS does not fill up")

    def relieve(self) -> None:
        """Nothing is full."""

    def depth(self, queue: str = "default") -> int:
        return self._count(queue, WAITING)

    def in_flight(self, queue: str = "default") -> int:
        """Return how many messages were fetched, and are neither deleted nor visible again."""
        return self._count(queue, IN_FLIGHT)

    def peek(self, queue: str = "default") -> list[RawMessage]:
        found = self.client.receive_message(
            QueueUrl=self.queue_url(queue), MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        return [read(message["Body"]) for message in found.get("Messages", ())]

    def push(self, message: RawMessage, queue: str = "default") -> None:
        self.push_bytes(written(message, queue), queue)

    def push_bytes(self, content: bytes, queue: str = "default") -> None:
        self.client.send_message(QueueUrl=self.queue_url(queue), MessageBody=content.decode())

    def has_a_waiting_consumer(self) -> bool:
        return True  # a poll may be under way at any time

    def delete_queue(self, queue: str = "default") -> None:
        """Delete a queue, as somebody may by mistake."""
        self.client.delete_queue(QueueUrl=self.queue_url(queue))

    def requests(self) -> int:
        """Return how many requests there were until now."""
        return self._log.read_text().count('"POST ')

    def queue_url(self, queue: str) -> str:
        return str(self.client.create_queue(QueueName=f"{PREFIX}{queue}")["QueueUrl"])

    @cached_property
    def client(self) -> Any:
        """A client of AWS's own."""
        return boto3.client(
            "sqs",
            region_name=REGION,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=10),
        )

    def _count(self, queue: str, attribute: str) -> int:
        name = f"{PREFIX}{queue}"
        if not self.client.list_queues(QueueNamePrefix=name).get("QueueUrls"):
            return 0
        told = self.client.get_queue_attributes(QueueUrl=self.queue_url(queue), AttributeNames=[attribute])
        return int(told["Attributes"][attribute])
