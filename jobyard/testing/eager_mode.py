"""`with eager():`, in which jobs run where they are handed in."""

from collections.abc import Iterator
from contextlib import contextmanager

from jobyard.jobs.ledger import get_ledger
from jobyard.settings import get_settings
from jobyard.settings.eager import with_eager
from jobyard.settings.locked_cache import fresh_caches
from jobyard.testing.recorded_jobs import RecordedJobs


@contextmanager
def eager(*, propagate: bool = False) -> Iterator[RecordedJobs]:
    """Run each job where it is handed in, to its end, on a new ledger in memory, whose jobs the block gets.

    Every thread of the process does so meanwhile. With `propagate` a job that fails raises its own exception
    where it is handed in, and otherwise only where its result is asked for. After the block nothing of its
    jobs is left.
    """
    settings = with_eager(get_settings(), is_eager=True, propagates=propagate)
    with fresh_caches():
        get_settings.preset(settings)
        yield RecordedJobs(get_ledger().database)
