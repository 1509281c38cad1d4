"""Brings what running attempts say of themselves to the ledger, at a bounded rate.

`update_state` keeps the newest state of an attempt, and a thread writes those of all attempts together. The
thread is there while something is to be written. What an attempt said last is written before its outcome.
"""

import os
import threading
from collections.abc import Iterator
from time import sleep
from typing import Any, Final

import structlog
from pydantic_core import PydanticSerializationError, to_json

from jobyard.jobs.database.ledger_database import LedgerDatabase, get_database
from jobyard.jobs.errors import JobNotFoundError, LedgerUnavailableError
from jobyard.jobs.job import ReportedState
from jobyard.jobs.ledger.reported_states import write_reported_states
from jobyard.jobs.reading.job_queries import own_id_of
from jobyard.settings.locked_cache import locked_cache

log = structlog.get_logger()

# The pause after each write. So a job is written at most four times a second, and once more at its end.
WRITE_EVERY_SECONDS: Final = 0.25
LONGEST_STATE: Final = 64  # characters
MOST_META_BYTES: Final = 65_536  # as JSON: a state is written often, and what is large belongs in a file


class StateWriter:
    """Writes the newest states of this process's attempts."""

    def __init__(self, database: LedgerDatabase) -> None:
        self._database = database
        self._waiting: dict[str, ReportedState] = {}
        self._is_running = False
        self._lock = threading.Lock()
        # It is held during a write, so that an older state never overwrites a newer one.
        self._write_lock = threading.Lock()

    def put(self, reported: ReportedState) -> None:
        """Keep a state for the next write, instead of an earlier one of the same job."""
        with self._lock:
            self._waiting[reported.job_id] = reported
            if self._is_running:
                return
            self._is_running = True
        threading.Thread(target=self._write_until_idle, name="reported states", daemon=True).start()

    def flush(self, job_id: str) -> None:
        """Write the state of one job that still waits, and return when no write of it is going on."""
        with self._write_lock:
            with self._lock:
                waiting = self._waiting.pop(job_id, None)
            if waiting is not None:
                self._write([waiting])

    def _write_until_idle(self) -> None:
        while True:
            with self._write_lock:
                with self._lock:
                    taken = list(self._waiting.values())
                    self._waiting.clear()
                    if not taken:
                        self._is_running = False
                        return
                self._write(taken)
            sleep(WRITE_EVERY_SECONDS)

    def _write(self, taken: list[ReportedState]) -> None:
        try:
            write_reported_states(self._database, list(self._with_own_ids(taken)))
        except LedgerUnavailableError as error:
            log.warning("states of jobs not written", jobs=len(taken), reason=str(error))
        except Exception:
            log.exception("states of jobs not written", jobs=len(taken))

    def _with_own_ids(self, taken: list[ReportedState]) -> Iterator[ReportedState]:
        # Of another job a task may know the external id, or one that is no job's and spoils no others.
        for reported in taken:
            if reported.attempt is not None:
                yield reported
                continue
            try:
                yield reported._replace(job_id=own_id_of(self._database, reported.job_id))
            except JobNotFoundError:
                log.warning("a state of a job that is not here", job_id=reported.job_id)


@locked_cache
def get_state_writer() -> StateWriter:
    """Return this process's writer."""
    return StateWriter(get_database())


# Its thread is not in the child, and a lock that another thread held at the fork would stay locked.
os.register_at_fork(after_in_child=get_state_writer.cache_clear)


class StateReporter:
    """What one attempt has said of itself last; one with a `database` of its own writes at once."""

    def __init__(self, job_id: str, attempt: int, database: LedgerDatabase | None = None) -> None:
        self._job_id, self._attempt, self._database = job_id, attempt, database
        self.state: str | None = None
        self.meta: Any = None

    def report(self, state: str | None, meta: object) -> None:
        """Report a state; raises `ValueError` for one that cannot be kept."""
        reported = reported_state(self._job_id, self._attempt, state, meta)
        if self._database is None:
            get_state_writer().put(reported)
        else:
            write_reported_states(self._database, [reported])
        self.state, self.meta = state, meta

    def flush(self) -> None:
        """Wait until the state is in the ledger."""
        if self._database is None:
            get_state_writer().flush(self._job_id)


def report_of_another(job_id: str, state: str | None, meta: object) -> None:
    """Report a state of the attempt that runs of another job; one that does not run keeps none.

    Raises `ValueError` for one that cannot be kept.
    """
    if not isinstance(job_id, str):
        raise ValueError(f"update_state: task_id is the id of a job, unlike {job_id!r:.200}")
    get_state_writer().put(reported_state(job_id, None, state, meta))


def reported_state(job_id: str, attempt: int | None, state: str | None, meta: object) -> ReportedState:
    """Return a state as it is kept; raises `ValueError` with the limit that it does not fit."""
    if state is not None and not (
        isinstance(state, str) and state.isprintable() and 0 < len(state) <= LONGEST_STATE
    ):
        raise ValueError(
            f"update_state: state is one to {LONGEST_STATE} printable characters, unlike {state!r:.200}"
        )
    try:
        text = to_json(meta, inf_nan_mode="null").decode()
    except (PydanticSerializationError, ValueError) as error:
        raise ValueError(f"update_state: meta cannot be written as JSON: {error}") from error
    size = len(text.encode())
    if size > MOST_META_BYTES:
        raise ValueError(
            f"update_state: meta has {size} bytes as JSON, more than {MOST_META_BYTES}: keep it as a file "
            "(get_files().save) and report its id"
        )
    return ReportedState(job_id, attempt, state, text)
