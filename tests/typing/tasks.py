"""Read by mypy and not run: wrong calls carry an ignore, which is an error the day nothing is wrong there."""

from datetime import timedelta
from typing import Any

from jobyard.tasks.declare import task
from jobyard.tasks.handle import JobHandle
from jobyard.tasks.payload import Payload
from jobyard.tasks.task import ModelTask, Task
from tasks.mail.payload import Email, Receipt
from tasks.mail.task import send_email


class Order(Payload):
    number: int


@task("typing.plain")
def plain(order: Order) -> str:
    return str(order.number)


@task("typing.waiting")
async def waiting(order: Order) -> str:
    return str(order.number)


declared: ModelTask[Order, str] = plain
awaited: ModelTask[Order, str] = waiting

handle: JobHandle[str] = plain.delay(Order(number=1))
text: str = waiting.submit(Order(number=1), priority=9, delay=timedelta(minutes=5)).get(timeout=1)
receipt: Receipt = send_email.delay(Email(to=("a@example.org",), subject="hi", text="hello")).get()
called: str = plain(Order(number=1))

plain.delay({"number": 1})  # type: ignore[arg-type]
plain.delay(Email(subject="hi"))  # type: ignore[arg-type]
plain.submit(Order(number=1), priority="high")  # type: ignore[arg-type]
plain.submit(Order(number=1), countdown=5)  # type: ignore[call-arg]
wrong: int = plain.delay(Order(number=1)).get()  # type: ignore[assignment]
task("typing.misspelt", max_retrys=3)  # type: ignore[call-overload]


class DatabaseTask(Task[..., Any]):
    """A base class, whose attributes are options of its tasks."""

    abstract = True
    database = "default"


@task("typing.bound", bind=True, base=DatabaseTask, database="archive", max_retries=None)
def bound(self: Task[..., Any], number: int) -> str:
    self.update_state(state="PROGRESS", meta={"number": number})
    if self.request.retries:
        raise self.retry(exc=ValueError(), countdown=0.5)
    self.retry(countdown="soon")  # type: ignore[arg-type]
    return "done"


bound.delay_on_commit(1)
bound.delay_on_commit("one")  # type: ignore[arg-type]
task("typing.wrong_retries", max_retries="3")  # type: ignore[call-overload]
