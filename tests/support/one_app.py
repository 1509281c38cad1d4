"""The one Celery application of this process, which a test may make a `Jobyard` for the length of a block."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import _state

from jobyard.broker.celery_app import LedgerApp, app
from jobyard.tasks import app_defaults, base_class, queues, registry
from jobyard.tasks.task import Task


@contextmanager
def restored_app() -> Iterator[None]:
    """Undo at the end what the block sets, declares and makes current."""
    registry.load_tasks()
    app.conf.finalize()
    conf: Any = app.conf
    state: Any = _state
    changes, tasks, schedules = dict(conf.changes), dict(registry.declared), dict(conf.beat_schedule)
    attributes, defaults, base = dict(vars(app)), app_defaults.app_defaults(), base_class.default_base()
    celery_tasks = dict(app.tasks)
    stock, names = list(app.stock_functions), dict(queues._named_by_tasks)
    objects, current, default = dict(queues._declared_by_tasks), state._tls.current_app, state.default_app
    finalizers = set(state._on_app_finalizers)
    needs_setting = Task.priority_needs_setting
    signals: list[Any] = [app.on_after_configure, app.on_after_finalize]
    receivers = [list(signal.receivers) for signal in signals]
    for name in tasks:  # of other tests, which no project sets anything for
        registry.unregister(name)
    try:
        yield
    finally:
        for name in list(registry.declared):
            registry.unregister(name)
        app.tasks.clear()
        app.tasks.update(celery_tasks)
        for definition in tasks.values():
            registry.register(definition)
        app.__class__ = LedgerApp
        vars(app).clear()
        vars(app).update(attributes)
        for signal, before in zip(signals, receivers, strict=True):
            signal.receivers[:] = before
            signal.sender_receivers_cache.clear()
        conf.changes.clear()
        conf.changes.update(changes)
        conf.beat_schedule.clear()
        conf.beat_schedule.update(schedules)
        app.stock_functions[:] = stock
        state._register_app(app)  # which may have been closed
        Task.priority_needs_setting = needs_setting
        base_class._base = base
        app_defaults._current = defaults
        queues._named_by_tasks.clear()
        queues._named_by_tasks.update(names)
        queues._declared_by_tasks.clear()
        queues._declared_by_tasks.update(objects)
        state._tls.current_app, state.default_app = current, default
        state._on_app_finalizers.clear()
        state._on_app_finalizers.update(finalizers)
        app_defaults.change_defaults()
