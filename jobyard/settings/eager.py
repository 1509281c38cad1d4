"""Whether jobs run where they are handed in, changed in a process that runs: `app.conf.task_always_eager`."""

from collections.abc import Callable

from jobyard.settings.locked_cache import use_fresh_caches
from jobyard.settings.settings import Settings, get_settings

_go_back: Callable[[], None] | None = None


def set_eager(is_eager: bool) -> None:
    """Run jobs where they are handed in from now on, on a new ledger in memory, for all threads.

    False takes back what True has done, with that ledger; where JOBYARD_TASKS__EAGER says so, it stays.
    """
    global _go_back
    if is_eager and not get_settings().tasks.eager:
        settings = with_eager(get_settings(), is_eager=True)
        _go_back = use_fresh_caches()
        get_settings.preset(settings)
    elif not is_eager and _go_back is not None:
        _go_back()
        _go_back = None


def set_eager_propagates(propagates: bool) -> None:
    """Raise the error of a job that fails where it is handed in from now on, if jobs run there."""
    get_settings.preset(with_eager(get_settings(), propagates=propagates))


def with_eager(
    settings: Settings, *, is_eager: bool | None = None, propagates: bool | None = None
) -> Settings:
    """Return these settings with others for test mode; None leaves what is set."""
    changes = {"eager": is_eager, "eager_propagates": propagates}
    given = {name: value for name, value in changes.items() if value is not None}
    return settings.model_copy(update={"tasks": settings.tasks.model_copy(update=given)})
