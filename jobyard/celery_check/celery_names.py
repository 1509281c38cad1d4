"""Which of Celery's importable names are names of Jobyard's, which stay Celery's, and which are refused."""

from dataclasses import dataclass
from typing import Final

# Some of Celery's names can be imported from several modules; each is known here by the first of these.
CANONICAL: Final = {
    "celery.app.Celery": "celery.Celery",
    "celery.app.base.Celery": "celery.Celery",
    "celery.app.shared_task": "celery.shared_task",
    "celery.app.task.Task": "celery.Task",
    "celery.app.base.Task": "celery.Task",
    "celery.task.Task": "celery.Task",
    "celery.task.base.Task": "celery.Task",
    "celery.task.task": "celery.task",
    "celery.decorators.task": "celery.task",
    "celery.task.current": "celery.current_task",
    "celery._state.current_task": "celery.current_task",
    "celery._state.current_app": "celery.current_app",
    "celery._state.get_current_task": "celery.current_task",
    "celery.app.control.Control": "celery.app.control.Control",
    "celery.contrib.django.task.DjangoTask": "celery.contrib.django.task.DjangoTask",
    "celery.canvas.chain": "celery.chain",
    "celery.canvas.group": "celery.group",
    "celery.canvas.chord": "celery.chord",
    "celery.canvas.chunks": "celery.chunks",
    "celery.canvas.signature": "celery.signature",
    "celery.canvas.subtask": "celery.signature",
    "celery.subtask": "celery.signature",
    "celery.canvas.Signature": "celery.Signature",
    "celery.canvas.maybe_signature": "celery.maybe_signature",
    "celery.canvas.xmap": "celery.xmap",
    "celery.canvas.xstarmap": "celery.xstarmap",
}

# By the canonical name: the module and the name that it has here.
MOVED: Final = {
    "celery.Celery": ("jobyard", "Jobyard"),
    "celery.shared_task": ("jobyard", "shared_task"),
    "celery.task": ("jobyard", "task"),
    "celery.Task": ("jobyard", "Task"),
    "celery.contrib.django.task.DjangoTask": ("jobyard", "Task"),
    "celery.current_task": ("jobyard", "current_task"),
    "celery.result.AsyncResult": ("jobyard", "AsyncResult"),
    "celery.schedules.crontab": ("jobyard", "crontab"),
    "celery.signals": ("jobyard", "signals"),
}
MOVED_MODULES: Final = {"celery.signals": "jobyard.signals"}

WORKFLOWS: Final = "chains, groups and chords wait for workflows, which are not there yet"
USE_GROUP: Final = "it has no equivalent: hand in one job for each part, with submit_many"
REJECT: Final = 'raise RetryLater(timedelta(...), "why") to run it again, or Discard("why") to end it'


@dataclass(frozen=True, slots=True)
class Refusal:
    """A name that cannot be had here; `by_hand` says that another way does it."""

    sentence: str
    by_hand: bool = False
    edit: str = ""


# The longest name or prefix of modules that fits decides.
REFUSED: Final = {
    **dict.fromkeys(
        (
            "celery.chain",
            "celery.group",
            "celery.chord",
            "celery.chunks",
            "celery.signature",
            "celery.Signature",
            "celery.maybe_signature",
            "celery.result.GroupResult",
            "celery.result.ResultSet",
        ),
        Refusal(WORKFLOWS),
    ),
    "celery.xmap": Refusal(USE_GROUP),
    "celery.xstarmap": Refusal(USE_GROUP),
    "celery.canvas": Refusal(WORKFLOWS),
    "celery.stamping": Refusal("stamping has no equivalent: use headers= or tags="),
    "celery.current_app": Refusal(
        "there is no current app: import yours", by_hand=True, edit="from proj.celery import app"
    ),
    "celery.app.app_or_default": Refusal("there is no current app: import yours", by_hand=True),
    "celery.result.allow_join_result": Refusal(
        "a task does not wait for another: write chain(...) or self.replace(...)", by_hand=True
    ),
    "celery.result.EagerResult": Refusal("apply() gives an AsyncResult", by_hand=True, edit="AsyncResult"),
    "celery.exceptions.Reject": Refusal(REJECT, by_hand=True, edit="from jobyard import Discard, RetryLater"),
    "celery.signals.before_task_publish": Refusal(
        "a job is accepted, not published: jobyard.signals.job_accepted comes after its commit", by_hand=True
    ),
    "celery.signals.after_task_publish": Refusal(
        "a job is accepted, not published: jobyard.signals.job_accepted comes after its commit", by_hand=True
    ),
    "celery.signals.eventlet_pool_started": Refusal("there is no eventlet pool: write async def tasks"),
    "celery.contrib.pytest": Refusal(
        "Jobyard's pytest plugin has jobyard_inline and jobyard_worker", by_hand=True
    ),
    "celery.contrib.testing": Refusal(
        "Jobyard's pytest plugin has jobyard_inline and jobyard_worker", by_hand=True
    ),
    "celery.contrib.abortable": Refusal("a running job cannot be stopped yet"),
    "celery.contrib.migrate": Refusal("`jobyard move-broker` moves what waits", by_hand=True),
    "celery.beat": Refusal("a scheduler of one's own has no place: use Schedule(...)"),
    "celery.backends": Refusal("results are in the ledger: AsyncResult reads them"),
    "celery.bootsteps": Refusal("steps of one's own have no place in Jobyard's worker"),
    "celery.concurrency": Refusal("the pools are threads and prefork, and async def tasks need none"),
    "celery.loaders": Refusal("tasks are found by JOBYARD_TASKS__MODULES and autodiscover_tasks"),
    "celery.bin": Refusal("`jobyard --help` shows the commands", by_hand=True),
    "celery.app.defaults": Refusal("the settings are Jobyard's: `jobyard config`", by_hand=True),
    "celery.app.amqp": Refusal("messages are Jobyard's own"),
    "celery.app.routes": Refusal("task_routes takes globs, regular expressions and functions", by_hand=True),
    "celery.schedules.solar": Refusal("a schedule by the sun waits for the schedules of your own"),
    "celery.utils.dispatch": Refusal("use jobyard.signals", by_hand=True),
    "celery.worker.request": Refusal("self.request has what is known of a job", by_hand=True),
    "kombu.binding": Refusal("a job goes to one queue; for all workers use app.control.broadcast"),
    "kombu.common.Broadcast": Refusal(
        "a job goes to one queue; for all workers use app.control.broadcast", by_hand=True
    ),
    "kombu.serialization": Refusal(
        "a payload is JSON here: annotate the parameter with a dataclass or a pydantic model", by_hand=True
    ),
    "django_celery_beat": Refusal(
        "schedules are changed by HTTP, not in the admin: declare Schedule(...), and move its tables by hand",
        by_hand=True,
    ),
    "django_celery_results": Refusal(
        "results are in the ledger: AsyncResult(id), or GET /v1/jobs/{id}", by_hand=True
    ),
    "celery_once": Refusal("one at a time is unique_key= at the call", by_hand=True),
    "celery_singleton": Refusal("one at a time is unique_key= at the call", by_hand=True),
    "celery_batches": Refusal("jobs that come together share messages by themselves", by_hand=True),
    "redbeat": Refusal("Jobyard's own scheduler keeps the schedules: declare Schedule(...)", by_hand=True),
    "pytest_celery": Refusal("Jobyard's pytest plugin has jobyard_inline and jobyard_worker", by_hand=True),
}

# What is imported from Celery as before: these are used by Jobyard as they are.
STAYS: Final = (
    "celery.app.control",
    "celery.app.log",
    "celery.events",
    "celery.exceptions",
    "celery.local",
    "celery.platforms",
    "celery.schedules",
    "celery.states",
    "celery.utils",
    "celery.uuid",
    "celery.worker.control",
    "celery.__version__",
    "celery.VERSION",
    "celery.version_info",
    "celery.contrib.rdb",
    "celery.contrib.django",
    "celery.result",
    "celery.app",
)

HERE: Final = {
    f"{module}.{name}": celery for celery, (module, name) in MOVED.items() if "contrib" not in celery
}


def canonical(name: str) -> str:
    """Return the one name that this name of Celery's or Jobyard's has in the tables above."""
    if name in HERE:
        return HERE[name]
    for module in ("celery.signals", "jobyard.signals"):
        if name.startswith(f"{module}."):
            return f"celery.signals{name.removeprefix(module)}"
    head, _, rest = name.rpartition(".")
    # A name of a class of theirs: celery.app.task.Task.retry.
    if name not in CANONICAL and head in CANONICAL:
        return f"{CANONICAL[head]}.{rest}"
    return CANONICAL.get(name, name)


def moved_to(name: str) -> tuple[str, str] | None:
    """Return the module and the name here of one of Celery's canonical names; None where it does not move."""
    if refusal_of(name):
        return None
    if name.startswith("celery.signals."):
        return "jobyard.signals", name.removeprefix("celery.signals.")
    return MOVED.get(name)


def refusal_of(name: str) -> Refusal | None:
    """Return why a canonical name cannot be had here; None where it can."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in REFUSED:
            return REFUSED[prefix]
        if prefix in MOVED:
            return None
    return None


def stays(name: str) -> bool:
    """Tell whether a canonical name is imported from Celery as before, and works."""
    return name == "celery" or any(name == known or name.startswith(f"{known}.") for known in STAYS)
