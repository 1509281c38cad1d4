"""The class of one task: Celery makes one for each, and so do we.

What a base class keeps in its instance is then the task's own.
"""

from collections.abc import Mapping
from typing import Any, Final

from jobyard.tasks.task import Task
from jobyard.tasks.task_options import WITHOUT_EFFECT

# What Celery's worker would do with a message because of these is not what they say of a job.
_OF_MESSAGES: Final = {
    name: getattr(Task, name)
    for name in (*WITHOUT_EFFECT, "rate_limit", "serializer", "soft_time_limit", "expires")
    if hasattr(Task, name)
}


def task_class(name: str, base: type[Task[..., Any]], members: Mapping[str, Any]) -> type[Task[..., Any]]:
    """Return a class for one task, with the options of messages as `Task` has them."""
    made: type[Task[..., Any]] = type(name, (base,), {**_OF_MESSAGES, "abstract": False, **members})
    return made
