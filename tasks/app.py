"""The Celery application of this yard: `celery -A tasks.app worker`."""

from jobyard.worker.entry import app

__all__ = ["app"]
