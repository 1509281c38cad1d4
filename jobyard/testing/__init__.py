"""For tests of tasks: jobs that run where they are handed in, or in a worker of the test's own.

The names are looked up at their first use, because pytest loads the plugin of this package in every run.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jobyard.testing.eager_mode import eager
    from jobyard.testing.recorded_jobs import RecordedJobs
    from jobyard.testing.worker_threads import worker

__all__ = ["RecordedJobs", "eager", "worker"]

_MODULES: Final = {
    "RecordedJobs": "jobyard.testing.recorded_jobs",
    "eager": "jobyard.testing.eager_mode",
    "worker": "jobyard.testing.worker_threads",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
