"""`python -m bench.sides.produce MODULE ...`: puts jobs into one side's queue, in a process of its own.

    python -m bench.sides.produce bench.peers.arq_app enqueue one|bulk COUNT [--group 100] [--task noop]
    python -m bench.sides.produce bench.peers.arq_app latency COUNT RATE

The first prints `{"jobs": ..., "seconds": ...}`; the second notes when each call began (`bench.tools.runs`).
The module is imported by its name, which some libraries write into their messages, and has a `producer`.
"""

import argparse
import asyncio
import json
from importlib import import_module
from time import monotonic

from bench.sides.producer import Producer
from bench.tools.runs import note_sent


def main() -> None:
    """Do what the command line says."""
    options = _arguments()
    try:
        # The loop of whoever has it, as their workers and servers have.
        run = import_module("uvloop").run
    except ImportError:
        run = asyncio.run
    run(_run(import_module(options.module).producer, options))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    commands = parser.add_subparsers(dest="command", required=True)
    enqueue = commands.add_parser("enqueue")
    enqueue.add_argument("way", choices=("one", "bulk"))
    enqueue.add_argument("count", type=int)
    enqueue.add_argument("--group", type=int, default=100)
    enqueue.add_argument("--task", choices=("noop", "wait", "compute"), default="noop")
    enqueue.add_argument("--first", type=int, default=0, help="number of the first job")
    latency = commands.add_parser("latency")
    latency.add_argument("count", type=int)
    latency.add_argument("rate", type=float, help="jobs a second")
    return parser.parse_args()


async def _run(producer: Producer, options: argparse.Namespace) -> None:
    await producer.open()
    if options.command == "latency":
        await _pace(producer, options.count, options.rate)
    else:
        began = monotonic()
        await _enqueue(producer, options)
        print(json.dumps({"jobs": options.count, "seconds": monotonic() - began}))
    await producer.close()


async def _enqueue(producer: Producer, options: argparse.Namespace) -> None:
    numbers = range(options.first, options.first + options.count)
    if options.way == "one":
        for number in numbers:
            await producer.one(options.task, number)
    else:
        for first in range(0, len(numbers), options.group):
            await producer.many(options.task, numbers[first : first + options.group])


async def _pace(producer: Producer, count: int, rate: float) -> None:
    began = monotonic()
    for number in range(count):
        # The timetable is kept: a slow call does not put off those after it.
        await asyncio.sleep(max(0.0, began + number / rate - monotonic()))
        note_sent(number)
        await producer.one("noop", number)


if __name__ == "__main__":
    main()
