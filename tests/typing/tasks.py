"""Read by mypy and not run: wrong calls carry an ignore, which is an error the day nothing is wrong there."""

from datetime import timedelta

from jobyard.tasks.declare import task
from jobyard.tasks.handle import JobHandle
from jobyard.tasks.payload import Payload
from jobyard.tasks.task import ModelTask
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
