"""Jobyard's producer over HTTP."""

from bench.sides.http_producer import ByHttp

producer = ByHttp("/v1/tasks/bench.{task}/jobs", many="/v1/tasks/bench.{task}/jobs/bulk")
