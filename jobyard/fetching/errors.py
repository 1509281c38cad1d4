"""The errors of a fetch, which also raises `Discard` and `RetryLater`."""

from jobyard.jobs.errors import Discard, JobyardError


class TemporaryFetchError(JobyardError):
    """The page cannot be fetched now, and perhaps later."""


class PageRefusedError(Discard):
    """The server answered that the page does not exist, or is not for us (4xx)."""
