"""A publisher whose jobs run in this process, so that no broker is looked for."""

from collections.abc import Iterable

from jobyard.broker.publisher import Publisher
from jobyard.jobs.job import QueuedJob


class LocalPublisher(Publisher):
    """Sends no messages; what derives from it overrides `publish`, to run the jobs."""

    def __init__(self) -> None:
        """Overridden so that no broker is looked for."""

    def send_early(self, job: QueuedJob) -> None:
        return None

    def flush(self, timeout_seconds: float) -> bool:
        return True

    def wait_until_sent(self) -> bool:
        return True

    def is_failing(self) -> bool:
        return False

    def depths(self, queues: Iterable[str]) -> dict[str, int]:
        return {}
