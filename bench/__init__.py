"""Jobyard measured beside plain Celery, in one run on one machine. Start with README.md here."""
