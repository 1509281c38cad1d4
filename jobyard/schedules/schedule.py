"""A schedule: a task with its payload, and the times when it is due."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from celery.schedules import BaseSchedule

from jobyard.settings import SettingsError
from jobyard.tasks.payload import Payload
from jobyard.tasks.task import JobTask


@dataclass(frozen=True)
class Schedule:
    """A task with its payload, due in UTC by Celery's `schedule(timedelta(...))` or `crontab(...)`.

    Raises `SettingsError` for a value of another type.
    """

    name: str
    task: JobTask[Any, Any]
    payload: Payload
    when: BaseSchedule

    def __post_init__(self) -> None:
        if faults := list(self._faults()):
            raise SettingsError(f"schedule {self.name!r}: {'; '.join(faults)}")

    def _faults(self) -> Iterator[str]:
        if not isinstance(self.task, JobTask):
            yield f"its task must be a function declared with @task, and is a {type(self.task).__name__}"
        elif not isinstance(self.payload, model := self.task.definition.payload_model):
            yield f"its payload must be a {model.__name__}, and is a {type(self.payload).__name__}"
        if not isinstance(self.when, BaseSchedule):
            yield (
                "when it is due must be celery.schedules' schedule(timedelta(...)) or crontab(...), "
                f"and is a {type(self.when).__name__}"
            )
