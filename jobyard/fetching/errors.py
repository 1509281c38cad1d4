"""What a fetch raises; `Discard` and `RetryLater` besides."""

from jobyard.jobs.errors import Discard, JobyardError


class TemporaryFetchError(JobyardError):
    """The page cannot be had now; later may do."""


class PageRefusedError(Discard):
    """The server answered that there is no such page, or not for us (4xx)."""
