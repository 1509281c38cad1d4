"""A job service on Celery: what is accepted is written down, and ends in one recorded outcome."""
