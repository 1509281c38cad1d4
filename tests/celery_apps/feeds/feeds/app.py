"""Reads feeds, which are not always there."""

from celery import Celery

app = Celery("feeds", include=["feeds.tasks"])
app.conf.update(task_acks_late=True, task_track_started=True)
