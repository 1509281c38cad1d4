"""A producer over one keep-alive connection to its side's API, whose address BENCH_API names."""

import json
import os
from http.client import HTTPConnection
from urllib.parse import urlsplit

from bench.sides.producer import Producer
from bench.tools.fill import note


class ByHttp(Producer):
    """A job is in when the answer has come: one in a request, or an array of them where `many` names a path.

    In the paths `{task}` stands for the task's name; the queue is the task's own.
    """

    def __init__(self, one: str, many: str | None = None) -> None:
        self._one, self._many = one, many

    async def open(self) -> None:
        where = urlsplit(os.environ["BENCH_API"])
        self._connection = HTTPConnection(where.hostname or "", where.port)
        self._connection.connect()

    async def one(self, task: str, number: int) -> None:
        self._post(self._one.format(task=task), note(number))

    async def many(self, task: str, numbers: range) -> None:
        if self._many is None:
            await super().many(task, numbers)
        else:
            self._post(self._many.format(task=task), [note(number) for number in numbers])

    def _post(self, path: str, content: object) -> None:
        body = json.dumps(content, separators=(",", ":"))
        self._connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{path} answered {answer.status}: {said[:500]!r}")
