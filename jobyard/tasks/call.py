"""Hands in the calls of a task, and returns their handles."""

import asyncio
from collections.abc import Sequence
from typing import Any, Generic, ParamSpec, TypeVar, cast

from pydantic import BaseModel

from jobyard.jobs.job import Acceptance
from jobyard.jobs.ledger.in_transaction import AsyncTransaction, Transaction
from jobyard.tasks.definition import TaskDefinition
from jobyard.tasks.event_loop_warning import warn_in_event_loop
from jobyard.tasks.handle import JobHandle, accepted_handle
from jobyard.tasks.options import JobOptions, PayloadWithOptions
from jobyard.tasks.submission import submit, submit_within, submit_within_async

P = ParamSpec("P")
R = TypeVar("R")


class Call(Generic[P, R]):
    """A task with the options of its next calls."""

    def __init__(
        self,
        definition: TaskDefinition[Any, R],
        options: JobOptions,
        idempotency_key: str | None,
        connection: "Transaction | AsyncTransaction | None",
    ) -> None:
        self._definition, self._options = definition, options
        self._idempotency_key, self._connection = idempotency_key, connection

    def payload(self, /, *args: P.args, **kwargs: P.kwargs) -> PayloadWithOptions:
        """As `Task.payload`, for one of the payloads of `submit_many`."""
        if self._connection is not None:
            raise TypeError("a connection is for all jobs of a call: submit_many(..., connection=...)")
        payload = self._definition.signature.payload(args, kwargs)
        return PayloadWithOptions(payload, self._options, self._idempotency_key)

    def delay(self, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """As `Task.delay`."""
        payload = self._definition.signature.payload(args, kwargs)
        return self.submit(payload)

    async def delay_async(self, /, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """As `Task.delay_async`."""
        payload = self._definition.signature.payload(args, kwargs)
        return await self.submit_async(payload)

    def submit(self, payload: BaseModel) -> JobHandle[R]:
        """As `Task.submit`, with the options of this call."""
        definition, options, key = self._definition, self._options, self._idempotency_key
        warn_in_event_loop(definition.name)
        if self._connection is None:
            [acceptance] = submit(definition, [payload], options, key)
        else:
            transaction = cast("Transaction", self._connection)
            [acceptance] = submit_within(transaction, definition, [payload], options, key)
        return _handle(definition, acceptance, options, key)

    async def submit_async(self, payload: BaseModel) -> JobHandle[R]:
        """As `Task.submit_async`, with the options of this call."""
        definition, options, key = self._definition, self._options, self._idempotency_key
        if self._connection is None:
            [acceptance] = await asyncio.to_thread(submit, definition, [payload], options, key)
        else:
            transaction = cast("AsyncTransaction", self._connection)
            [acceptance] = await submit_within_async(transaction, definition, [payload], options, key)
        return _handle(definition, acceptance, options, key)


def submit_many(
    definition: TaskDefinition[Any, R],
    payloads: Sequence[BaseModel | PayloadWithOptions],
    options: JobOptions,
    connection: "Transaction | None",
) -> list[JobHandle[R]]:
    """Do what `Task.submit_many` says."""
    warn_in_event_loop(definition.name)
    if connection is None:
        acceptances = submit(definition, payloads, options)
    else:
        acceptances = submit_within(connection, definition, payloads, options)
    return [
        _handle(definition, acceptance, payload.options, payload.idempotency_key)
        if isinstance(payload, PayloadWithOptions)
        else _handle(definition, acceptance, options)
        for acceptance, payload in zip(acceptances, payloads, strict=True)
    ]


def _handle(
    definition: TaskDefinition[Any, R],
    acceptance: Acceptance,
    options: JobOptions,
    idempotency_key: str | None = None,
) -> JobHandle[R]:
    return accepted_handle(acceptance, definition.result_adapter, options.external_id, idempotency_key)
