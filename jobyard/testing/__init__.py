"""For tests of tasks: jobs that run where they are handed in, on a ledger in memory."""

from jobyard.testing.eager import eager
from jobyard.testing.recorded_jobs import RecordedJobs

__all__ = ["RecordedJobs", "eager"]
