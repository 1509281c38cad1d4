"""Takes the messages of stock Celery producers out of their queues, for `jobyard/worker/bridge/`."""
