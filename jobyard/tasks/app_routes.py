"""Celery's `task_routes`: which queue a job goes to, by its task's name or by a function of the call."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from celery.app.routes import MapRoute, prepare
from celery.utils.functional import maybe_evaluate
from kombu import Queue as KombuQueue

from jobyard.jobs.errors import CallRefusedError, TaskDeclarationError
from jobyard.settings import SettingsError
from jobyard.settings.celery_keys import ONE_QUEUE
from jobyard.settings.queues import name_fault, our_queue_name
from jobyard.tasks.celery_priority import priority_of

_MAP_ROUTE: Final[Any] = MapRoute  # celery-types does not know its attributes
_KEPT: Final = ("queue", "priority")
# Celery gives these to a message; with the name of the queue they say what is so anyway.
_NAMES_OF_THE_QUEUE: Final = ("exchange", "routing_key")


class TaskRoutes:
    """The routers of `task_routes`, asked in their order until one answers.

    Raises `SettingsError` for a route that says more than a queue and a priority.
    """

    def __init__(self, routes: Any) -> None:
        try:
            self._routers = list(prepare(routes))
        except (TypeError, ValueError, re.error) as error:
            raise SettingsError(f"task_routes cannot be read: {error}") from error
        for router in self._routers:
            if not (isinstance(router, MapRoute) or callable(router) or hasattr(router, "route_for_task")):
                raise SettingsError(
                    f"task_routes holds {router!r:.100}: write a dictionary, a list of (pattern, route), or "
                    "a function route(name, args, kwargs, options, task=None, **kw)"
                )
            for name, route in _routes_in(router):
                as_options(route, f"task_routes[{name!r}]")

    @property
    def is_by_name(self) -> bool:
        """Whether the queue depends on the name of the task alone."""
        return all(isinstance(router, MapRoute) for router in self._routers)

    @property
    def queues(self) -> set[str]:
        """The queues that are named, apart from those that functions choose."""
        routes = (as_options(route, "") for router in self._routers for _, route in _routes_in(router))
        return {route["queue"] for route in routes if "queue" in route}

    def __call__(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any], task: Any
    ) -> dict[str, Any]:
        """Return the options that the first router with an answer gives; raises `TaskDeclarationError`."""
        for router in self._routers:
            answer = _ask(router, name, args, kwargs, options, task)
            if answer is not None:
                try:
                    return as_options(answer, f"task_routes: the route of {name!r}")
                except SettingsError as error:
                    raise TaskDeclarationError(str(error)) from error
        return {}


def as_options(route: Any, where: str) -> dict[str, Any]:
    """Return a route's queue and priority; raises `SettingsError` for one that says anything else."""
    if isinstance(route, str | KombuQueue):
        route = {"queue": route}
    try:
        options = dict(route)
    except (TypeError, ValueError):
        raise SettingsError(f"{where} is {route!r:.100}: write a queue, or {{'queue': NAME}}") from None
    if isinstance(queue := options.get("queue"), KombuQueue):
        options["queue"] = queue.name
    if not options.get("queue"):
        options.pop("queue", None)
    elif isinstance(options["queue"], str):
        options["queue"] = our_queue_name(options["queue"])
    for name in _NAMES_OF_THE_QUEUE:
        if options.pop(name, options.get("queue")) != options.get("queue"):
            raise SettingsError(f"{where} names a {name}: {ONE_QUEUE}")
    if unknown := sorted(map(str, options.keys() - set(_KEPT))):
        raise SettingsError(
            f"{where} sets {unknown[0]}: a route says queue and priority; give the rest at the task"
        )
    if "queue" in options and (fault := name_fault(str(options["queue"]))):
        raise SettingsError(f"{where}: {fault}")
    if (priority := options.get("priority")) is not None:
        try:
            priority_of(priority, needs_setting=True)
        except (CallRefusedError, TypeError) as error:
            raise SettingsError(f"{where}: {error}") from error
    return options


def _routes_in(router: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(router, _MAP_ROUTE):
        yield from router.map.items()
        yield from ((pattern.pattern, route) for pattern, route in router.patterns.items())


def _ask(router: Any, name: str, args: Any, kwargs: Any, options: Any, task: Any) -> Any:
    router = maybe_evaluate(router)
    if hasattr(router, "route_for_task"):  # as before Celery 4
        return router.route_for_task(name, args, kwargs)
    return router(name, args, kwargs, options, task=task)
