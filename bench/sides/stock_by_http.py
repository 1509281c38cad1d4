"""Celery's producer over HTTP, by the tutorial's endpoint, which knows one task."""

from bench.sides.http_producer import ByHttp

producer = ByHttp("/jobs")
