"""What a Celery worker of the yard does besides running tasks."""
