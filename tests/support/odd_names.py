"""Tasks with names that are hard on a URL, a JSON text, a template or a client that is generated."""

from typing import Any, Final

from jobyard.tasks.declare import task
from jobyard.tasks.task import Task

NAMES: Final = (
    "sum-of-two-numbers",
    "Größe berechnen",
    "加算",
    "Ж" * 200,
    "e\u0301",
    "proj.odd.add",
    "a/b",
    "a//b/",
    "../odd",
    "odd/jobs",
    "odd/jobs/bulk",
    "odd",
    "Odd",
    "o_d_d",
    "with {braces} and {task:path}",
    "100%",
    "100%25",
    "a%2Fb",
    "what? priority=9",
    "c#",
    "a+b&c=d;e,f",
    "say \"hello\" \\ 'x'",
    "<b>bold</b>",
    "@body@ @job-ids@ @first-job@",
    "%(message)s %s",
    "2fast",
    "{}",
)


def _declare(name: str) -> Task[[int], str]:
    @task(name, max_retries=0)
    def say(x: int) -> str:
        """Say the name and the number."""
        if x < 0:
            raise ValueError(name)
        return f"{name}: {x}"

    return say


ODD_TASKS: Final[dict[str, Task[..., Any]]] = {name: _declare(name) for name in NAMES}
