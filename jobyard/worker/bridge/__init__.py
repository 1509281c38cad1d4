"""The bridge: messages of stock Celery producers become jobs."""
