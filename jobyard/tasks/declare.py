"""`@task` and `@shared_task`, which declare a function as a task."""

from collections.abc import Callable, Coroutine, Mapping
from inspect import iscoroutinefunction
from typing import Any, Concatenate, Final, Literal, ParamSpec, Protocol, TypeVar, Unpack, overload

from pydantic import BaseModel

from jobyard.broker.celery_app import app
from jobyard.broker.kill_limit import KILL_GRACE_SECONDS
from jobyard.jobs.errors import CallRefusedError, TaskDeclarationError
from jobyard.settings.queues import DEFAULT_PRIORITY, DEFAULT_QUEUE, our_queue_name
from jobyard.tasks.app_defaults import app_defaults, on_change
from jobyard.tasks.base_class import default_base
from jobyard.tasks.celery_priority import priority_of
from jobyard.tasks.declaration import Declaration, check_declaration
from jobyard.tasks.definition import TaskDefinition
from jobyard.tasks.inherited_options import resolve_options
from jobyard.tasks.queues import declare_queue
from jobyard.tasks.registry import declared, register
from jobyard.tasks.signature_reader import read_signature
from jobyard.tasks.task import ModelTask, Task
from jobyard.tasks.task_options import REFUSED, WITHOUT_EFFECT, TaskOptions, check_options, retry_policy

P = ParamSpec("P")
R = TypeVar("R")
In = TypeVar("In", bound=BaseModel)


class TaskDecorator(Protocol):
    """What `@task(...)` returns: it keeps the types of parameters and result, also for `async def`."""

    @overload
    def __call__(self, function: Callable[[In], Coroutine[Any, Any, R]], /) -> ModelTask[In, R]: ...
    @overload
    def __call__(self, function: Callable[[In], R], /) -> ModelTask[In, R]: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


class BoundTaskDecorator(Protocol):
    """What `@task(bind=True)` returns: the function's first parameter is the task, and no part of a call."""

    @overload
    def __call__(self, function: Callable[[Any, In], Coroutine[Any, Any, R]], /) -> ModelTask[In, R]: ...
    @overload
    def __call__(self, function: Callable[[Any, In], R], /) -> ModelTask[In, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> Task[P, R]: ...


@overload
def task(function: Callable[[In], Coroutine[Any, Any, R]], /) -> ModelTask[In, R]: ...
@overload
def task(function: Callable[[In], R], /) -> ModelTask[In, R]: ...
@overload
def task(function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    name: str | None = None, *, bind: Literal[True], base: None = None, **options: Unpack[TaskOptions]
) -> BoundTaskDecorator: ...
@overload
def task(
    name: str | None = None,
    *,
    bind: Literal[False] = False,
    base: None = None,
    **options: Unpack[TaskOptions],
) -> TaskDecorator: ...
@overload
def task(
    name: str | None = None, *, bind: Literal[True], base: type[Task[..., Any]], **options: Any
) -> BoundTaskDecorator: ...
@overload
def task(
    name: str | None = None, *, bind: Literal[False] = False, base: type[Task[..., Any]], **options: Any
) -> TaskDecorator: ...
def task(
    name: Any = None,
    *,
    bind: bool = False,
    base: type[Task[..., Any]] | None = None,
    **options: Any,
) -> Any:
    """Declare a task with Celery's option names; raises `TaskDeclarationError` at import for a wrong one.

    Without a name it is called after its module and function, as in Celery. `bind` gives the function its
    task as the first argument; `base` is the class that the task is made from, whose attributes are its
    options where the declaration says nothing. The other options are those of `TaskOptions`, and what `base`
    has as attributes.
    """
    if callable(name):
        return _declare(name, None, is_bound=False, base=None, options={})
    own, _ = resolve_options(base, Task, options)
    # Wrong words are found where they stand, before there is a function.
    check_options(name or "...", own)
    if name is not None:
        _declaration(name, _with_our_priority(name, own))

    def declare(function: Callable[..., Any]) -> Task[..., Any]:
        return _declare(function, name, is_bound=bind, base=base, options=options)

    return declare


shared_task: Final = task


def _declaration(name: str, options: Mapping[str, Any], *, is_known: bool = False) -> Declaration:
    queue = options.get("queue", DEFAULT_QUEUE.name)
    declaration = Declaration(
        name=name,
        queue=declare_queue(our_queue_name(queue) if isinstance(queue, str) else queue, name),
        priority=options.get("priority", DEFAULT_PRIORITY),
        policy=retry_policy(options),
        time_limit=options.get("time_limit"),
        soft_time_limit=options.get("soft_time_limit"),
        max_age=options.get("max_age"),
        max_losses=options.get("max_losses"),
        aliases=options.get("aliases", ()),
    )
    own_names = (declaration.name, *declaration.aliases)
    taken_names = {} if is_known else {one: declared[one].location for one in own_names if one in declared}
    check_declaration(declaration, taken_names)
    return declaration


def _declare(
    function: Callable[..., Any],
    name: str | None,
    *,
    is_bound: bool,
    base: type[Task[..., Any]] | None,
    options: Mapping[str, Any],
) -> Task[..., Any]:
    name = name or app.gen_task_name(function.__name__, function.__module__)
    _check_base(name, base, function)
    new = _make_task(name, function, base or default_base(), is_bound=is_bound)
    return define(new, function, base, is_bound=is_bound, options=options)


def define(
    new: Task[..., Any],
    function: Callable[..., Any],
    own_base: type[Task[..., Any]] | None,
    *,
    is_bound: bool,
    options: Mapping[str, Any],
) -> Task[..., Any]:
    """Register a task; it follows what the application sets later.

    Without `own_base` its base class is that of the application.
    """
    signature, result = read_signature(new.name, function, is_bound=is_bound)
    if is_of_engine(new):
        own_base = own_base or Task

    def set_definition() -> None:
        base = own_base or default_base()
        if own_base is None:
            _check_base(new.name, base, function)
            type(new).__bases__ = (base,)
        own, members = resolve_options(base, Task, options)
        complete, annotated = _complete_options(new, own)
        declaration = _declaration(new.name, complete, is_known=new.name in _definers)
        for name, value in {**_readable(declaration), **members, **annotated}.items():
            setattr(type(new), name, value)
        # What a declaration expects to be raised is no event to sentry-sdk and OpenTelemetry.
        type(new).throws = (*Task.throws, *complete.get("throws", ()))
        has_own_call = _overrides_call(base)
        called = new if has_own_call else new.run
        new.definition = TaskDefinition(
            function, declaration, signature, result, called, has_own_call=has_own_call
        )
        new.definition.router = app_defaults().router_of_calls(own)
        # Celery's own limit applies to a message, not a job, and on prefork only, so ours is reached first.
        new.time_limit = new.definition.hard_limit + KILL_GRACE_SECONDS
        # Not of its class, where Celery calls these attributes deprecated.
        new.queue, new.priority = declaration.queue, declaration.priority

    if new.name not in declared:
        _definers.pop(new.name, None)  # of a task that was taken away again
    set_definition()
    _definers[new.name] = set_definition
    new.bind(app)
    # A job that was accepted under an old name is published under that name.
    app.tasks.update(dict.fromkeys((new.name, *new.definition.aliases), new))
    register(new.definition)
    return new


def _readable(declaration: Declaration) -> dict[str, Any]:
    policy = declaration.policy
    return {name: getattr(policy, name) for name in policy.__dataclass_fields__}


# What Celery's worker would do with a message because of these is not what they say of a job.
OF_MESSAGES: Final = {
    name: getattr(Task, name)
    for name in (*WITHOUT_EFFECT, "rate_limit", "serializer", "soft_time_limit", "expires")
    if hasattr(Task, name)
}


_definers: Final = dict[str, Callable[[], None]]()


def _define_all_again() -> None:
    tasks: Any = app.tasks
    for name in list(declared):
        _definers[name]()
        register(tasks[name].definition)


on_change(_define_all_again)


def is_of_engine(known: Task[..., Any]) -> bool:
    """Tell whether a task is Jobyard's own housekeeping, to which a project's settings do not apply."""
    return str(type(known).__module__).startswith("jobyard.")


def _complete_options(
    new: Task[..., Any], options: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    defaults = app_defaults()
    if is_of_engine(new):
        # Housekeeping follows the default queue, which is the one that a project's workers serve.
        return {"queue": defaults.options.get("queue", DEFAULT_QUEUE.name), **options}, {}
    complete = defaults.apply(new, options)
    # Annotations also replace methods and other attributes, as in Celery.
    attributes = {
        name: value
        for name, value in complete.items()
        if name not in TaskOptions.__annotations__ and hasattr(type(new), name) and name not in REFUSED
    }
    rest = {name: value for name, value in complete.items() if name not in attributes}
    check_options(new.name, rest)
    return _with_our_priority(new.name, rest), attributes


def _with_our_priority(name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    if not Task.priority_needs_setting or options.get("priority") is None:
        return options
    try:
        return {**options, "priority": priority_of(options["priority"], needs_setting=True)}
    except (CallRefusedError, TypeError) as error:
        raise TaskDeclarationError(f"task {name!r}: {error}") from error


def _make_task(
    name: str,
    function: Callable[..., Any],
    base: type[Task[..., Any]],
    *,
    is_bound: bool,
) -> Task[..., Any]:
    # A class for each task, as Celery makes them: what a base class keeps in its instance is the task's own.
    members = {
        **OF_MESSAGES,
        "name": name,
        "run": function if is_bound else staticmethod(function),
        "abstract": False,
        "__doc__": function.__doc__,
        "__module__": function.__module__,
        "__wrapped__": staticmethod(function),
    }
    made: type[Task[..., Any]] = type(function.__name__, (base,), members)
    return made()


def _overrides_call(base: type[Task[..., Any]] | None) -> bool:
    return base is not None and base.__call__ is not Task.__call__


def _check_base(name: str, base: object, function: Callable[..., Any]) -> None:
    if base is None:
        return
    if not (isinstance(base, type) and issubclass(base, Task)):
        raise TaskDeclarationError(
            f"task {name!r}: base must be a class that is derived from jobyard's Task, unlike {base!r:.200}: "
            "from jobyard import Task"
        )
    if _overrides_call(base) and iscoroutinefunction(function):
        raise TaskDeclarationError(
            f"task {name!r}: {base.__qualname__} has a __call__ of its own, which would block the event loop "
            "of an `async def` task: do what it does in the task, or in before_start and after_return"
        )
