"""Makes the definition of a task, and makes it anew whenever the application's settings change."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from jobyard.broker.celery_app import app
from jobyard.broker.kill_limit import KILL_GRACE_SECONDS
from jobyard.jobs.errors import CallRefusedError, TaskDeclarationError
from jobyard.settings.queues import DEFAULT_PRIORITY, DEFAULT_QUEUE, our_queue_name
from jobyard.tasks.app_defaults import app_defaults, on_change
from jobyard.tasks.base_class import check_base, default_base, overrides_call
from jobyard.tasks.celery_priority import priority_of
from jobyard.tasks.declaration import Declaration, check_declaration
from jobyard.tasks.definition import TaskDefinition
from jobyard.tasks.inherited_options import resolve_options
from jobyard.tasks.queues import declare_queue
from jobyard.tasks.registry import declared, register
from jobyard.tasks.signature_reader import read_signature
from jobyard.tasks.task import Task
from jobyard.tasks.task_options import REFUSED, TaskOptions, check_options, retry_policy

# What defines each task, to be called again after a change.
_definers: Final = dict[str, Callable[[], None]]()


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
    if _is_of_engine(new):
        own_base = own_base or Task

    def set_definition() -> None:
        base = own_base or default_base()
        if own_base is None:
            check_base(new.name, base, function)
            type(new).__bases__ = (base,)
        own, members = resolve_options(base, Task, options)
        complete, annotated = _complete_options(new, own)
        declaration = _declaration(new.name, complete, is_known=new.name in _definers)
        for name, value in {**_readable(declaration), **members, **annotated}.items():
            setattr(type(new), name, value)
        # What a declaration expects to be raised is no event to sentry-sdk and OpenTelemetry.
        type(new).throws = (*Task.throws, *complete.get("throws", ()))
        has_own_call = overrides_call(base)
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


def check_options_of(name: str, options: Mapping[str, Any]) -> None:
    """Raise `TaskDeclarationError` for what is wrong with options while there is no function yet."""
    check_options(name, options)
    _declaration(name, _with_our_priority(name, options))


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


def _readable(declaration: Declaration) -> dict[str, Any]:
    policy = declaration.policy
    return {name: getattr(policy, name) for name in policy.__dataclass_fields__}


def _define_all_again() -> None:
    tasks: Any = app.tasks
    for name in list(declared):
        _definers[name]()
        register(tasks[name].definition)


on_change(_define_all_again)


def _is_of_engine(task: Task[..., Any]) -> bool:
    # Jobyard's own housekeeping, to which a project's settings do not apply.
    return str(type(task).__module__).startswith("jobyard.")


def _complete_options(
    new: Task[..., Any], options: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    defaults = app_defaults()
    if _is_of_engine(new):
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
