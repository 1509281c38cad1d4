"""`Jobyard`: stands where a Celery application stood, and declares tasks whose jobs are in the ledger."""

import os
from collections.abc import Mapping, Sequence
from inspect import isclass
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Self, TypeVar

import structlog
from kombu.utils.imports import symbol_by_name

from jobyard.broker.celery_app import LedgerApp, app
from jobyard.broker.celery_commands import mend_commands
from jobyard.jobs.errors import TaskDeclarationError
from jobyard.settings import SettingsError
from jobyard.settings.application import ModuleApplication
from jobyard.settings.celery_keys import CELERY_KEYS
from jobyard.tasks.app_conf import AppConf
from jobyard.tasks.base_class import default_base, set_default_base
from jobyard.tasks.class_based import register_task
from jobyard.tasks.config_source import read_source
from jobyard.tasks.declare import task
from jobyard.tasks.handle import JobHandle
from jobyard.tasks.planned_call import PlannedCall
from jobyard.tasks.send_task import send_named
from jobyard.tasks.task import Task

F = TypeVar("F")

log = structlog.get_logger()

CONFIG_VARIABLE: Final = "CELERY_CONFIG_MODULE"
_NO_WORKFLOWS: Final = "workflows are not there yet: hand in the next job at the end of a task"
_OWN_PARTS: Final = ("loader", "amqp", "events", "log", "control", "tasks")


class _Unbound(Generic[F]):
    """A function as an attribute of a class, with its types, which `staticmethod` loses for overloads."""

    def __init__(self, function: F) -> None:
        self.function = function

    def __get__(self, instance: object, owner: type | None = None) -> F:
        return self.function


class Jobyard(LedgerApp, ModuleApplication):
    """The Celery application of a project: `app = Jobyard("proj")`, and then `@app.task`.

    A process has one application, so a second `Jobyard` of the same name is the same object. Broker and
    ledger are settings of Jobyard's. Raises `SettingsError` for what cannot be kept, with the way out.
    """

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Return the application of this process."""
        app.finalize()  # Celery's own tasks come from Celery's own decorator
        app.__class__ = cls
        assert isinstance(app, cls)
        return app

    def __init__(
        self,
        main: str | None = None,
        *,
        broker: object = None,
        backend: object = None,
        set_as_current: bool = True,
        include: Sequence[str] | None = None,
        changes: Mapping[str, Any] | None = None,
        config_source: object = None,
        fixups: Sequence[str] | None = None,
        task_cls: type[Task[..., Any]] | str | None = None,
        autofinalize: bool = True,
        namespace: str | None = None,
        strict_typing: bool = True,
        **settings: Any,
    ) -> None:
        self._check_name(main)
        if own := sorted(settings.keys() & set(_OWN_PARTS)):
            raise SettingsError(f"Jobyard({own[0]}=...): this part is Jobyard's own: leave the argument out")
        settings |= {"broker_url": broker, "result_backend": backend, "include": include}
        if not isinstance(self.conf, AppConf):
            self.conf.finalize()
            self.conf = AppConf(self.conf)
        self.main = main or self.main
        Task.priority_needs_setting = True  # what moved in was written for a broker's own direction
        self.namespace = namespace
        self.conf.take({name: value for name, value in settings.items() if value is not None})
        self.conf.take(changes or {})
        base: Any = task_cls or vars(type(self)).get("task_cls")
        if base is not None:
            self.Task = symbol_by_name(base)
        self._custom_task_cls_used = True  # so that no fix-up sets a class of Celery's
        self._apply_fixups(fixups)
        mend_commands()
        if set_as_current:
            self.set_current()
        if config_source is not None:
            self.config_from_object(config_source)
        elif os.environ.get(CONFIG_VARIABLE):
            self.config_from_envvar(CONFIG_VARIABLE)
        self.on_init()

    if TYPE_CHECKING:
        conf: Any  # an `AppConf`, whose keys are Celery's

    _name: str | None = None
    _fixups: list[Any]

    def _check_name(self, main: str | None) -> None:
        if self._name is not None and main is not None and main != self._name:
            raise SettingsError(
                f"this process has the application {self._name!r}, and {main!r} would be a second one: a "
                "process serves one ledger and one broker, so declare its tasks with the first, or with "
                "jobyard.shared_task"
            )
        self._name = main or self._name

    def _apply_fixups(self, fixups: Sequence[str] | None) -> None:
        # The application may be older than the variable DJANGO_SETTINGS_MODULE.
        if not any(self._fixups):
            found = [symbol_by_name(f)(self) for f in (self.builtin_fixups if fixups is None else fixups)]
            self._fixups = [fixup for fixup in found if fixup is not None]

    task = _Unbound(task)  # type: ignore[assignment]

    def register_task(self, task: Any, **options: Any) -> Any:
        """Declare a task that is a class with `run`, or an object of one, and return the task."""
        return register_task(task() if isclass(task) else task, options)

    @property
    def Task(self) -> Any:  # noqa: N802 (Celery's name)
        """The base class of tasks that name none."""
        return default_base()

    @Task.setter
    def Task(self, base: Any) -> None:  # noqa: N802
        set_default_base(base)

    def send_task(  # type: ignore[override]
        self, name: str, args: Any = None, kwargs: Any = None, **options: Any
    ) -> JobHandle[Any]:
        """Call a task by its name, as `jobyard.send_task` does."""
        return send_named(name, args, kwargs, options, priority_needs_setting=True)

    @property
    def AsyncResult(self) -> type[JobHandle[Any]]:  # type: ignore[override]  # noqa: N802
        """The handle of a job, by its own id or its caller's."""
        return JobHandle

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> Any:
        """Read settings from a module, its name, an object or a mapping, at once.

        With a namespace those that begin with it count: `CELERY_TASK_ROUTES` for `CELERY`. With `silent` a
        module that is not there is no error. Raises `SettingsError` that names every setting that is refused.
        """
        self.namespace = namespace or self.namespace
        given = read_source(obj, self.loader, self.namespace, silent=silent)
        self.conf.take(given, self.namespace)
        return self.conf

    def add_periodic_task(
        self,
        schedule: Any,
        sig: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> str:
        """Plan calls of a task, `add.s(16, 16)`, and return the schedule's name.

        Raises `TaskDeclarationError` for what is no call of a task.
        """
        call = sig.s() if isinstance(sig, Task) else sig
        if not isinstance(call, PlannedCall):
            raise TaskDeclarationError(
                f"add_periodic_task takes a call of a task, add.s(1), not {sig!r:.100}"
            )
        name = name or repr(call)
        if name in self.conf.beat_schedule:
            log.warning("a second schedule of this name takes the place of the first", schedule=name)
        self.conf.beat_schedule[name] = {
            "task": call.task,
            "schedule": schedule,
            "args": (*args, *call.args),
            "kwargs": {**call.kwargs, **(kwargs or {})},
            "options": {**call.options, **options},
        }
        return name

    def on_tasks_loaded(self) -> None:
        """Overridden so that receivers find every task, wherever in a module they stand.

        What a receiver raises is raised here.
        """
        answers = [
            *self.on_after_configure.send(sender=self, source=self.conf),
            *self.on_after_finalize.send(sender=self),
        ]
        for _, answer in answers:
            if isinstance(answer, Exception):
                raise answer

    def log_settings(self) -> None:
        """Overridden so that a start lists the settings that mean nothing here, and those misspelt."""
        if harmless := self.conf.harmless:
            log.info("settings of Celery's that mean nothing here", settings=harmless)
        for name, near in self.conf.misspelt.items():
            log.warning("no setting of Celery's", setting=name, perhaps=near)

    def setup_security(self, *_: Any, **__: Any) -> NoReturn:
        """Refused, because there is nothing to sign."""
        raise SettingsError(f"app.setup_security: {CELERY_KEYS['security_key'].sentence}")

    def signature(self, *_: Any, **__: Any) -> NoReturn:
        """Refused until there are workflows."""
        raise TaskDeclarationError(f"app.signature: {_NO_WORKFLOWS}")

    @property
    def GroupResult(self) -> NoReturn:  # noqa: N802
        """Refused until there are workflows."""
        raise TaskDeclarationError(f"app.GroupResult: {_NO_WORKFLOWS}")

    @property
    def ResultSet(self) -> NoReturn:  # noqa: N802
        """Refused until there are workflows."""
        raise TaskDeclarationError(f"app.ResultSet: {_NO_WORKFLOWS}")
