"""Read by mypy and not run: tasks of a `Jobyard` are typed as those of `task`."""

from typing import Any

from jobyard import JobHandle, Jobyard

app = Jobyard("proj", include=["proj.tasks"])


@app.task
def add(x: int, y: int = 2) -> int:
    return x + y


@app.task(name="proj-bound", bind=True, max_retries=5)
def bound(self: Any, x: int) -> str:
    return str(x)


handle: JobHandle[int] = add.delay(1, y=2)
text: str = bound.delay(1).get()

add.delay("1")  # type: ignore[arg-type]
add.delay()  # type: ignore[call-arg]
bound.delay()  # type: ignore[call-arg]
app.task(priorty=9)  # type: ignore[call-overload]
