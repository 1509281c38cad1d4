"""The shop's background work."""

from celery import Celery

app = Celery("orders", include=["orders.tasks"])
app.config_from_object("orders.settings")
