"""`jobyard celery-check`: reads code that uses Celery, and says what moves here by its imports, and what not.

Nothing that is read is imported or run.
"""
