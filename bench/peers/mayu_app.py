"""mayu, whose Rust core reads Redis streams; results are kept for an hour, as its quick start has it."""

import os
from typing import Any

from mayu import App

from bench.sides.producer import Producer
from bench.tools.fill import note
from bench.tools.runs import note_run

app = App(broker=os.environ["BENCH_REDIS_URL"], result_ttl=3600)


@app.task(name="noop")
def noop(payload: dict[str, Any]) -> int:
    note_run(payload["n"])
    return int(payload["n"])


class Mayu(Producer):
    async def one(self, task: str, number: int) -> None:
        noop.send(note(number))


producer = Mayu()
