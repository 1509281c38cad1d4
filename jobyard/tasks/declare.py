"""`@task` and `@shared_task`, which declare a function as a task."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Concatenate, Final, Literal, ParamSpec, Protocol, TypeVar, Unpack, overload

from pydantic import BaseModel

from jobyard.broker.celery_app import app
from jobyard.jobs.errors import TaskDeclarationError
from jobyard.tasks.base_class import check_base, default_base
from jobyard.tasks.define import check_options_of, define
from jobyard.tasks.inherited_options import resolve_options
from jobyard.tasks.task import ModelTask, Task
from jobyard.tasks.task_class import task_class
from jobyard.tasks.task_options import TaskOptions

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
    # Wrong words are found where they stand, before there is a function, unless that has the name to say.
    if name is not None:
        check_options_of(name, own)

    def declare(function: Callable[..., Any]) -> Task[..., Any]:
        return _declare(function, name, is_bound=bind, base=base, options=options)

    return declare


shared_task: Final = task


def _declare(
    function: Callable[..., Any],
    name: str | None,
    *,
    is_bound: bool,
    base: type[Task[..., Any]] | None,
    options: Mapping[str, Any],
) -> Task[..., Any]:
    if not (callable(function) and hasattr(function, "__name__")):
        raise TaskDeclarationError(
            f"task {name or '...'!r}: {function!r:.200} is no function with a name: call it from one, "
            "def name(...), and declare that"
        )
    name = name or app.gen_task_name(function.__name__, function.__module__)
    check_base(name, base, function)
    new = task_class(
        function.__name__,
        base or default_base(),
        {
            "name": name,
            "run": function if is_bound else staticmethod(function),
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "__wrapped__": staticmethod(function),
        },
    )()
    return define(new, function, base, is_bound=is_bound, options=options)
