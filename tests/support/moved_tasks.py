"""Tasks that have moved from Celery: stock producers still call them by name, with arguments of any form."""

from datetime import datetime

from jobyard.tasks.declare import task


@task(name="moved.add")
def add(x: int, y: int = 0) -> int:
    return x + y


@task(name="moved.size")
def size(text: str) -> int:
    return len(text)


@task(name="moved.tell")
def tell(moment: datetime, *words: str, **more: int) -> str:
    return f"{moment:%Y}{''.join(words)}{sum(more.values())}"


@task(name="moved.fail")
def fail(why: str) -> None:
    raise KeyError(why)
