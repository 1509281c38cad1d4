"""OpenTelemetry's instrumentation of Celery, with an exporter in memory: one span for each attempt."""

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, get_current_span

from jobyard.broker.message_template import MessageTemplate
from jobyard.broker.receivers import check_receivers
from jobyard.jobs.clock import utc_now
from jobyard.jobs.job import ClaimedJob, new_id
from jobyard.tasks.declare import task
from jobyard.tasks.task import Task
from jobyard.worker.execution.attempt import attempt, attempt_async

_names = (f"test.watched_by_opentelemetry_{number}" for number in count())


class HiccupError(Exception):
    pass


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    make: Any = CeleryInstrumentor
    instrumentor = make()
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()


def claimed(of: Task[..., Any], number: int = 7, failures: int = 0) -> ClaimedJob:
    return ClaimedJob(new_id(), of.name, f'{{"number":{number}}}', failures + 1, failures, 2, 0, utc_now())


def id_of(span: ReadableSpan) -> object:
    assert span.attributes is not None
    return span.attributes["messaging.message.id"]


def test_each_attempt_is_one_span_and_a_failed_one_has_its_exception(exporter: InMemorySpanExporter) -> None:
    @task(next(_names), autoretry_for=(HiccupError,), max_retries=1)
    def do(number: int) -> int:
        assert get_current_span().is_recording()
        raise HiccupError("no")

    first, second = claimed(do), claimed(do, failures=1)
    attempt(do.definition, first)
    attempt(do.definition, second)
    retried, failed = exporter.get_finished_spans()
    assert retried.name == failed.name == f"run/{do.name}"
    assert [id_of(span) for span in (retried, failed)] == [first.id, second.id]
    assert "HiccupError" in str((retried.attributes or {})["celery.retry.reason"])
    assert failed.status.status_code is StatusCode.ERROR
    [event] = failed.events
    assert (event.attributes or {})["exception.message"] == "no"


def test_an_attempt_belongs_to_the_trace_in_the_headers_of_the_call(exporter: InMemorySpanExporter) -> None:
    @task(next(_names))
    def do(number: int) -> int:
        return number

    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers = f'{{"traceparent":"00-{trace}-{span}-01"}}'
    attempt(do.definition, claimed(do)._replace(headers=headers))
    [found] = exporter.get_finished_spans()
    assert found.parent is not None
    assert (found.parent.trace_id, found.parent.span_id) == (int(trace, 16), int(span, 16))


def test_the_spans_of_coroutines_are_apart(exporter: InMemorySpanExporter) -> None:
    seen = {}

    @task(next(_names))
    async def do(number: int) -> int:
        await asyncio.sleep(0.01)
        seen[number] = get_current_span().get_span_context().span_id
        return number

    jobs = [claimed(do, number) for number in range(3)]

    async def run_all() -> None:
        await asyncio.gather(*(attempt_async(do.definition, job, lambda: None) for job in jobs))

    asyncio.run(run_all())
    spans = {id_of(span): span.context.span_id for span in exporter.get_finished_spans() if span.context}
    assert spans == {job.id: seen[number] for number, job in enumerate(jobs)}


def test_a_message_is_no_span_and_carries_no_trace(exporter: InMemorySpanExporter) -> None:
    template = MessageTemplate.for_task("test.anything")
    assert not exporter.get_finished_spans()
    assert "traceparent" not in template.headers


def test_the_instrumentation_is_no_refused_receiver(exporter: InMemorySpanExporter) -> None:
    check_receivers()
