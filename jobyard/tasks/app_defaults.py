"""What an application says of tasks that say nothing themselves: queue, priority, limits, routes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol


class Router(Protocol):
    """Chooses the queue of a job by its task's name, and if it says so also by the arguments."""

    is_by_name: bool

    def __call__(self, name: str, args: Any, kwargs: Any, options: Any, task: Any) -> Mapping[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class AppDefaults:
    """The options of tasks that an application sets; limits are in seconds.

    `annotations` are given a task, and return options that win over the task's own, and attributes.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    router: Router | None = None
    annotations: Callable[[Any], Mapping[str, Any]] | None = None

    def apply(self, task: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a task, completed by those of the application."""
        own = {**options, **self._annotations(task)}
        return {**self._options_beside(own), **self._route(task, options), **own}

    def _options_beside(self, own: Mapping[str, Any]) -> dict[str, Any]:
        options = dict(self.options)
        # A limit of the application's that cannot be reached beside one of the task's own says nothing.
        if own.get("time_limit") and options.get("soft_time_limit", 0) >= own["time_limit"]:
            del options["soft_time_limit"]
        if (
            own.get("soft_time_limit")
            and options.get("time_limit", own["soft_time_limit"] + 1) <= (own["soft_time_limit"])
        ):
            del options["time_limit"]
        return options

    def router_of_calls(self, options: Mapping[str, Any]) -> Router | None:
        """Return what chooses the queue of each job, or None where the task's own options say it."""
        return None if self.router is None or self.router.is_by_name or "queue" in options else self.router

    def _route(self, task: Any, options: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.router is None or not self.router.is_by_name:
            return {}
        return self.router(task.name, (), {}, dict(options), task)

    def _annotations(self, task: Any) -> Mapping[str, Any]:
        return self.annotations(task) if self.annotations else {}


_current = AppDefaults()
_listeners = list[Callable[[], None]]()


def app_defaults() -> AppDefaults:
    """Return the defaults as the application has set them so far."""
    return _current


def change_defaults(**changes: Any) -> None:
    """Replace fields of the defaults; tasks that were declared before follow them."""
    global _current
    before = _current
    _current = replace(before, **changes)
    try:
        follow_defaults()
    except Exception:
        _current = before
        follow_defaults()
        raise


def follow_defaults() -> None:
    """Let every declared task follow what the application says now."""
    for listener in _listeners:
        listener()


def on_change(listener: Callable[[], None]) -> None:
    """Call a function after each change."""
    _listeners.append(listener)
