"""Takes stock messages, commits their jobs, and removes the messages, in this order.

So a message is lost at no point, and one that comes twice is accepted once, by its id. Any number of bridges
may run at once.
"""

from collections.abc import Sequence

import structlog

from jobyard.broker.accept_and_publish import get_accept_and_publish
from jobyard.broker.bridge.source import Delivery, Source
from jobyard.broker.bridge.stock_message import NoTaskMessageError, StockMessage, read_message
from jobyard.broker.malformed_messages import record_dropped
from jobyard.jobs.errors import LedgerUnavailableError, OutcomeUnknownError
from jobyard.jobs.job import Acceptance, NewJob, Verdict
from jobyard.jobs.ledger import get_ledger
from jobyard.tasks.queues import record_queue
from jobyard.tasks.submission import store_large_payloads
from jobyard.worker.bridge.new_job import ForeignJob, dead_letter, foreign_job

log = structlog.get_logger()


class Bridge:
    """Moves messages of one source into the ledger; for one thread."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def pass_once(self) -> int:
        """Move some messages; return how many there were. Raises what ledger and broker raise."""
        deliveries = self._source.take()
        if not deliveries:
            return 0
        self._accept([message for delivery in deliveries if (message := _read(delivery)) is not None])
        self._source.remove(deliveries)
        return len(deliveries)

    def close(self) -> None:
        """Close the connection to the broker."""
        self._source.close()

    def _accept(self, messages: Sequence[StockMessage]) -> None:
        try:
            self._commit([self._foreign_job(message) for message in messages])
        except (LedgerUnavailableError, OutcomeUnknownError):
            raise
        except Exception:
            log.exception("messages not accepted together, trying each", messages=len(messages))
            for message in messages:
                self._accept_alone(message)

    def _accept_alone(self, message: StockMessage) -> None:
        try:
            self._commit([self._foreign_job(message)])
        except (LedgerUnavailableError, OutcomeUnknownError):
            raise
        except Exception as error:
            log.exception("a message could not be accepted", message_id=message.id, task=message.task)
            reason = f"the ledger did not take it: {type(error).__name__}"
            self._commit([dead_letter(message, message.as_encoded_payload, reason)])

    def _foreign_job(self, message: StockMessage) -> ForeignJob:
        return foreign_job(message, is_zero_first=self._source.is_zero_first)

    def _commit(self, foreign_jobs: Sequence[ForeignJob]) -> None:
        stored = store_large_payloads([foreign.job for foreign in foreign_jobs])
        good = [job for job, foreign in zip(stored, foreign_jobs, strict=True) if foreign.failure is None]
        dead = [
            (job, foreign.failure)
            for job, foreign in zip(stored, foreign_jobs, strict=True)
            if foreign.failure is not None
        ]
        acceptances = _accept_good(good)
        if dead:
            jobs, failures = zip(*dead, strict=True)
            dead_letters = get_ledger().accept_dead(jobs, failures)
            log.warning("messages became dead letters", jobs=len(dead), reason=failures[0].message[:300])
            acceptances += dead_letters
        repeated = sum(acceptance.verdict is not Verdict.NEW for acceptance in acceptances)
        log.info("messages accepted", jobs=len(good) + len(dead), dead=len(dead), repeated=repeated)


def _accept_good(jobs: Sequence[NewJob]) -> list[Acceptance]:
    if not jobs:
        return []
    for queue in {job.queue for job in jobs}:
        record_queue(queue)
    return get_accept_and_publish()(get_ledger().accept, jobs)


def _read(delivery: Delivery) -> StockMessage | None:
    try:
        return read_message(delivery)
    except NoTaskMessageError as error:
        record_dropped(error)
        return None
