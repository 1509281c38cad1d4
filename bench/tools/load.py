"""The load: keep-alive connections that each post again as soon as they are answered.

`python -m bench.tools.load URL SECONDS CONNECTIONS [RATE]` makes it in Python, in a process of its own, and
prints one line of JSON; `measure` does the same with wrk where that is on the PATH, which takes less of the
machine.
With a rate, each connection posts when the timetable says so: a request that is late because the one before
it was slow counts from when it was due.
"""

import asyncio
import json
import re
import shutil
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import Literal, cast
from urllib.parse import urlsplit

import uvloop

from bench.tools.fill import note
from bench.tools.machine import LOCAL, Machine

Tool = Literal["wrk", "python"]
BODY = json.dumps(note(1))
LONGEST_RECOVERY_SECONDS = 60
SLOW_SECONDS = 2.0  # what wrk counts as a time-out; the answer is still waited for
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """One measurement. Refused: answered with no 2xx or 3xx; broken: a connection failed; slow: over 2 s."""

    answered: int
    refused: int
    broken: int
    slow: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def accepted(self) -> int:
        return self.answered - self.refused

    @property
    def rate(self) -> float:
        return self.accepted / self.seconds


def best_tool() -> Tool:
    return "wrk" if shutil.which("wrk") else "python"


def measure(machine: Machine, tool: Tool, url: str, seconds: int, connections: int) -> Load:
    """Load the URL for so long; raises `BenchError` where a process ends that should not."""
    if tool == "wrk":
        script = str(Path(__file__).with_name("wrk.lua"))
        line = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script, url]
    else:
        line = [sys.executable, "-m", "bench.tools.load", url, str(seconds), str(connections)]
    return _run(machine, line, url, seconds)


def measure_paced(machine: Machine, url: str, seconds: int, connections: int, rate: float) -> Load:
    """Post so many a second for so long; always from Python, since wrk keeps no timetable."""
    line = [sys.executable, "-m", "bench.tools.load", url, str(seconds), str(connections), str(rate)]
    return _run(machine, line, url, seconds)


def _run(machine: Machine, line: list[str], url: str, seconds: int) -> Load:
    name = "load"
    machine.start(name, line, {"BENCH_BODY": BODY})
    machine.wait_for_end(name, seconds + 60)
    # The end of a load cuts connections off; the next one begins when the server has got over it.
    machine.wait_until(lambda: _is_answered(url), LONGEST_RECOVERY_SECONDS, "the server to answer again")
    return Load(**json.loads(machine.output(name).splitlines()[-1]))


def _is_answered(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except urllib.error.HTTPError:
        return True  # 405: it takes a POST, and says so
    except OSError:
        return False


@dataclass
class _Tally:
    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    broken: int = 0


class _Caller(asyncio.Protocol):
    """One connection; it knows just enough HTTP for answers that carry their length."""

    def __init__(self, request: bytes, tally: _Tally, due: float, until: float, interval: float) -> None:
        self._request, self._tally, self._until = request, tally, until
        self._due, self._interval = due, interval
        self._received = b""
        self._sent_at = 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._post_when_due()

    def _post_when_due(self) -> None:
        early = self._due - perf_counter()
        if early > 0:
            asyncio.get_running_loop().call_later(early, self._post)
        else:
            self._post(self._due if self._interval else None)

    def _post(self, counted_from: float | None = None) -> None:
        self._sent_at = counted_from or perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if length is None or len(body) < int(length[1]):
            return
        now = perf_counter()
        self._tally.seconds.append(now - self._sent_at)
        self._tally.refused += not head.startswith((b"HTTP/1.1 2", b"HTTP/1.1 3"))
        self._received = b""
        self._due += self._interval
        if max(now, self._due) < self._until:
            self._post_when_due()
        else:
            self._until = 0
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._tally.broken += self._until > 0
        self.closed.set_result(None)


async def _load(url: str, seconds: float, connections: int, rate: float = 0) -> Load:
    parts = urlsplit(url)
    host, port = parts.hostname or LOCAL, parts.port or 80
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(BODY)}",
    ]
    request = "\r\n".join([*lines, "", BODY]).encode()
    began = perf_counter()
    tally = _Tally()
    interval = connections / rate if rate else 0

    async def call(number: int) -> _Caller:
        def caller() -> _Caller:
            due = began + number * interval / connections
            return _Caller(request, tally, due, began + seconds, interval)

        return (await asyncio.get_running_loop().create_connection(caller, host, port))[1]

    callers = [await call(number) for number in range(connections)]
    await asyncio.gather(*(caller.closed for caller in callers))
    percent = quantiles(tally.seconds, n=100)
    return Load(
        answered=len(tally.seconds),
        refused=tally.refused,
        broken=tally.broken,
        slow=sum(took > SLOW_SECONDS for took in tally.seconds),
        seconds=perf_counter() - began,
        p50_ms=percent[49] * 1000,
        p99_ms=percent[98] * 1000,
    )


def main() -> None:
    url, seconds, connections, *rate = sys.argv[1:]
    result = uvloop.run(_load(url, float(seconds), int(connections), *map(float, rate)))
    print(json.dumps(result.__dict__))


if __name__ == "__main__":
    main()
