"""A program that knows plain Celery and nothing of Jobyard: `app` for its workers, and a producer.

As a producer it reads calls as JSON from its input, one a line, and prints the id of each; with ids as
arguments it waits for their ends, and prints each as JSON.
"""

import json
import os
import sys
from datetime import datetime

from celery import Celery

app = Celery("stock", broker=os.environ["STOCK_BROKER"], backend=os.environ.get("STOCK_BACKEND"))
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_default_queue=os.environ.get("STOCK_QUEUE", "celery"),
)


@app.task(name="old.add")
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task(name="old.fail")
def fail(why: str) -> None:
    raise ValueError(why)


@app.task(name="old.say")
def say(word: str) -> str:
    return word


def ask(id_: str) -> dict[str, object]:
    result = app.AsyncResult(id_)
    try:
        returned = result.get(timeout=3, interval=0.1)
    except Exception as error:
        returned = f"{type(error).__module__}.{type(error).__name__}: {error}"
    return {"state": result.state, "result": returned, "traceback": result.traceback}


def main() -> None:
    for id_ in sys.argv[1:]:
        print(json.dumps(ask(id_)), flush=True)
    if sys.argv[1:]:
        return
    for line in sys.stdin:
        call = json.loads(line)
        if moment := call.pop("moment", None):
            call["args"] = [datetime.fromisoformat(moment), *call["args"]]
        size = call.pop("filler_bytes", 0)
        if size:
            call["args"] = ["x" * size]
        print(app.send_task(**call).id, flush=True)


if __name__ == "__main__":
    main()
