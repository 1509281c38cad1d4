"""The Celery application: `celery -A tasks.app worker`."""

from jobyard.worker.entry import app

__all__ = ["app"]
