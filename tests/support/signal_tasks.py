"""Tasks, and receivers of every signal about them that write down what they hear, one JSON object a line."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from celery import signals
from celery.worker.control import control_command

from jobyard.signals import job_accepted
from jobyard.tasks.declare import task

JOURNAL = "SIGNAL_JOURNAL"
HEARD = (
    "task_revoked",
    "task_prerun",
    "task_postrun",
    "task_success",
    "task_failure",
    "task_retry",
    "task_unknown",
)


class HiccupError(Exception):
    """A failure that another attempt may not meet."""


@task("signalled.do", autoretry_for=(HiccupError,), max_retries=1, default_retry_delay=0, retry_backoff=False)
def do(number: int, then: str = "return") -> int:
    """End as ordered."""
    match then:
        case "raise":
            raise ValueError("as ordered")
        case "hiccup":
            raise HiccupError("as ordered")
        case "nap":
            time.sleep(1)
        case "exit_at_once":
            os._exit(9)
    return number


@task("signalled.wait")
async def wait(number: int, then: str = "return") -> int:
    """End as ordered, on the event loop."""
    await asyncio.sleep(0.01)
    if then == "raise":
        raise ValueError("as ordered")
    return number


@task("signalled.hang", soft_time_limit=0.5, time_limit=1.0)
def hang(number: int) -> int:
    """Ignore the soft limit."""
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        try:
            time.sleep(0.2)
        except Exception:
            continue
    return 0


def write(name: str, **fields: Any) -> None:
    line = json.dumps({"signal": name, "pid": os.getpid(), **fields}, default=str)
    if JOURNAL in os.environ:
        with Path(os.environ[JOURNAL]).open("a") as journal:
            journal.write(line + "\n")


def _receiver(name: str) -> Any:
    def receive(sender: Any = None, **arguments: Any) -> None:
        request = arguments.get("request") or getattr(sender, "request", None)
        write(
            name,
            task=getattr(sender, "name", None),
            job=arguments.get("task_id") or arguments.get("id") or getattr(request, "id", None),
            args=arguments.get("args"),
            error=type(arguments["exception"]).__name__ if "exception" in arguments else None,
            result=arguments.get("result"),
            state=arguments.get("state"),
        )

    return receive


for _name in HEARD:
    getattr(signals, _name).connect(_receiver(_name), weak=False)


def _job_was_accepted(sender: str, job_id: str, payload: str, queue: str, **_: Any) -> None:
    write("job_accepted", task=sender, job=job_id, payload=payload, queue=queue)


def _task_was_published(sender: str, headers: Any, body: Any, routing_key: str, **_: Any) -> None:
    write("after_task_publish", task=sender, job=headers["id"], args=body[0], queue=routing_key)


job_accepted.connect(_job_was_accepted)
signals.after_task_publish.connect(_task_was_published)


@control_command(args=[("name", str)], signature="<name>")
def greet(state: Any, name: str) -> dict[str, str]:
    """Greet someone, as a program's own command does."""
    return {"ok": f"{state.hostname} greets {name}"}


@signals.worker_process_init.connect
def _process_has_begun(**_: Any) -> None:
    write("worker_process_init")
