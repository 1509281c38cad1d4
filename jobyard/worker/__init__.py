"""What a Celery worker does here besides running tasks: the keeper, queues, events, and stopping."""
