"""`@task` and `@shared_task`, which declare a function as a task."""

from collections.abc import Callable, Coroutine, Mapping
from inspect import iscoroutinefunction
from typing import Any, Concatenate, Final, Literal, ParamSpec, Protocol, TypeVar, Unpack, overload

from pydantic import BaseModel

from jobyard.broker.celery_app import app
from jobyard.broker.kill_limit import KILL_GRACE_SECONDS
from jobyard.jobs.errors import TaskDeclarationError
from jobyard.settings.queues import DEFAULT_PRIORITY, DEFAULT_QUEUE
from jobyard.tasks.declaration import Declaration, check_declaration
from jobyard.tasks.definition import TaskDefinition
from jobyard.tasks.inherited_options import resolve_options
from jobyard.tasks.queues import declare_queue
from jobyard.tasks.registry import declared, register
from jobyard.tasks.signature_reader import read_signature
from jobyard.tasks.task import ModelTask, Task
from jobyard.tasks.task_options import WITHOUT_EFFECT, TaskOptions, check_options, retry_policy

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
        _declaration(name, own)

    def declare(function: Callable[..., Any]) -> Task[..., Any]:
        return _declare(function, name, is_bound=bind, base=base, options=options)

    return declare


shared_task: Final = task


def _declaration(name: str, options: Mapping[str, Any]) -> Declaration:
    declaration = Declaration(
        name=name,
        queue=declare_queue(options.get("queue", DEFAULT_QUEUE.name), name),
        priority=options.get("priority", DEFAULT_PRIORITY),
        policy=retry_policy(options),
        time_limit=options.get("time_limit"),
        soft_time_limit=options.get("soft_time_limit"),
        max_age=options.get("max_age"),
        max_losses=options.get("max_losses"),
        aliases=options.get("aliases", ()),
    )
    own_names = (declaration.name, *declaration.aliases)
    check_declaration(declaration, {one: declared[one].location for one in own_names if one in declared})
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
    options, members = resolve_options(base, Task, options)
    declaration = _declaration(name, options)
    signature, result = read_signature(name, function, is_bound=is_bound)
    new = _make_task(
        name, function, base or Task, is_bound=is_bound, members=_readable(declaration) | members
    )
    has_own_call = _overrides_call(base)
    called = new if has_own_call else new.run
    new.definition = TaskDefinition(
        function, declaration, signature, result, called, has_own_call=has_own_call
    )
    # Celery's own limit applies to a message, not a job, and on prefork only, so ours is reached first.
    new.time_limit = new.definition.hard_limit + KILL_GRACE_SECONDS
    new.bind(app)
    # Not of its class, where Celery calls these attributes deprecated.
    new.queue, new.priority = declaration.queue, declaration.priority
    # A job that was accepted under an old name is published under that name.
    app.tasks.update(dict.fromkeys((name, *declaration.aliases), new))
    register(new.definition)
    return new


def _readable(declaration: Declaration) -> dict[str, Any]:
    policy = declaration.policy
    return {name: getattr(policy, name) for name in policy.__dataclass_fields__}


# What Celery's worker would do with a message because of these is not what they say of a job.
_OF_MESSAGES: Final = {
    name: getattr(Task, name)
    for name in (*WITHOUT_EFFECT, "rate_limit", "serializer", "soft_time_limit", "expires")
    if hasattr(Task, name)
}


def _make_task(
    name: str,
    function: Callable[..., Any],
    base: type[Task[..., Any]],
    *,
    is_bound: bool,
    members: Mapping[str, Any],
) -> Task[..., Any]:
    # A class for each task, as Celery makes them: what a base class keeps in its instance is the task's own.
    members = {
        **_OF_MESSAGES,
        **members,
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
