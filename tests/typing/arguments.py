"""Read by mypy and not run: calls of tasks whose parameters are not one model."""

from datetime import timedelta
from typing import Any

from jobyard import AsyncResult, JobHandle, Task, send_task, shared_task, task


@task
def add(x: int, y: int = 2) -> int:
    return x + y


@shared_task
async def greet(name: str, *, loud: bool = False) -> str:
    return name.upper() if loud else name


@task(name="typing-bound", bind=True, max_retries=5)
def bound(self: Any, x: int) -> str:
    return str(x)


@task("typing.nothing")
def nothing() -> None: ...


declared: Task[[int], str] = bound

handle: JobHandle[int] = add.delay(1, y=2)
text: str = greet.delay("Ada", loud=True).get()
bound_text: str = bound.delay(1).get()
nothing.delay()
called: int = add(1, 2)
later: JobHandle[int] = add.options(priority=9, delay=timedelta(minutes=5)).delay(1)
handles: list[JobHandle[int]] = add.submit_many([add.payload(number) for number in range(3)])
mixed: list[JobHandle[int]] = add.submit_many([add.payload(1), add.options(priority=9).payload(2, y=3)])
here: int = add.apply((1,), {"y": 2}).get()


by_id: int = add.AsyncResult("an-id").get(timeout=1)
same: JobHandle[int] = AsyncResult[int]("an-id")
called_back: JobHandle[int] = add.apply_async((1,), {"y": 2}, countdown=10, task_id="an-id")
by_name: JobHandle[Any] = send_task("add", [1], countdown=10)
state: str = by_name.state


async def awaited_result() -> int:
    return await add.delay(1).get_async(timeout=1)


async def awaited() -> str:
    return (await greet.delay_async("Ada")).id


add.delay("1")  # type: ignore[arg-type]
add.options(priority=9).payload("1")  # type: ignore[arg-type]
add.options(priority="high")  # type: ignore[arg-type]
add.delay()  # type: ignore[call-arg]
add.delay(1, 2, 3)  # type: ignore[call-arg]
add.delay(1, z=2)  # type: ignore[call-arg]
greet.delay("Ada", True)  # type: ignore[call-arg]
bound.delay()  # type: ignore[call-arg]
bound.delay(None, 1)  # type: ignore[call-arg, arg-type]
nothing.delay(1)  # type: ignore[call-arg]
add.options(priorty=9)  # type: ignore[call-arg]
add.options(priority=9).delay("1")  # type: ignore[arg-type]
wrong_by_id: str = add.AsyncResult("an-id").get()  # type: ignore[assignment]
add.submit(add.payload(1), external_id=7)  # type: ignore[arg-type]
add.options(headers={"a": {"b": 1}})  # type: ignore[dict-item]
wrong: str = add.delay(1).get()  # type: ignore[assignment]
