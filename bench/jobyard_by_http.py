"""Jobyard's producer over one keep-alive connection to its API: one job in a request, or an array of them."""

import json
import os
from http.client import HTTPConnection
from urllib.parse import urlsplit

from bench.fill import note
from bench.producer import Producer


class ByHttp(Producer):
    """A job is in when the answer has come. The task's own queue is the one that `worker-io` serves."""

    async def open(self) -> None:
        where = urlsplit(os.environ["BENCH_API"])
        self._connection = HTTPConnection(where.hostname or "", where.port)
        self._connection.connect()

    async def one(self, task: str, number: int) -> None:
        self._post(f"/v1/tasks/bench.{task}/jobs", note(number))

    async def many(self, task: str, numbers: range) -> None:
        self._post(f"/v1/tasks/bench.{task}/jobs/bulk", [note(number) for number in numbers])

    def _post(self, path: str, content: object) -> None:
        body = json.dumps(content, separators=(",", ":"))
        self._connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{path} answered {answer.status}: {said[:500]!r}")


producer = ByHttp()
