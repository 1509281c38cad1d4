"""The Celery application and the tasks."""
