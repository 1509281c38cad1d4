"""Claim checks: a large payload or result is in the file store, and its row only says where.

A check is the text `@NAME` in place of the JSON, which never begins with `@`. The file is
`checks/XX/JOB/NAME`. It is written before the row, so every check has its file, and a sweep deletes the files
that no row names. If the store does not take a text, the text stays in the row.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy import select

from jobyard.jobs.clock import utc_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import job
from jobyard.jobs.errors import ClaimCheckError, ObjectStoreError
from jobyard.jobs.files.object_store import explained_errors, open_store
from jobyard.settings import get_settings
from jobyard.settings.locked_cache import locked_cache

if TYPE_CHECKING:
    from obstore.store import ObjectStore

log = structlog.get_logger()

MARK: Final = "@"
PAYLOAD: Final = "payload"
RESULT: Final = "result"
_FOLDER: Final = "checks"
# The sweep spares newer files: a file is written a moment before its row (or after its row is gone).
SWEPT_AFTER: Final = timedelta(days=1)
_FILES_IN_ONE_QUERY: Final = 500


def is_check(text: str) -> bool:
    """Tell whether the text of a row is a claim check, and not JSON."""
    return text.startswith(MARK)


class ClaimChecks:
    """Puts texts longer than `inline_bytes` into the store, opened at first use, and fetches them."""

    def __init__(self, open_store: "Callable[[], ObjectStore]", inline_bytes: int) -> None:
        self._open_store, self._inline_bytes = open_store, inline_bytes

    @cached_property
    def _store(self) -> "ObjectStore":
        return self._open_store()

    def is_large(self, text: str) -> bool:
        # A character has at most four bytes in UTF-8, and len() costs less than encoding the text.
        limit = self._inline_bytes
        return len(text) > limit // 4 and len(text.encode(errors="replace")) > limit

    def check_in(self, job_id: str, name: str, text: str) -> str:
        """Return what to store in the row of a job: the text itself, or a check for it under this name."""
        if not self.is_large(text):
            return text
        try:
            with explained_errors():
                self._store.put(_key(job_id, name), text.encode())
        except ObjectStoreError as error:
            log.warning("a large text stays in the ledger", job_id=job_id, reason=str(error))
            return text
        return f"{MARK}{name}"

    def fetch(self, job_id: str, text: str) -> str:
        """Return the text itself, or the one that a check refers to; raises `ClaimCheckError`."""
        if not is_check(text):
            return text
        name = text.removeprefix(MARK)
        try:
            with explained_errors():
                return bytes(self._store.get(_key(job_id, name)).bytes()).decode()
        except FileNotFoundError as error:
            message = f"the {name} of job {job_id} is not in the file store any longer (JOBYARD_FILES__URL)"
            raise ClaimCheckError(message, is_lost=True) from error
        except ObjectStoreError as error:
            raise ClaimCheckError(str(error), is_lost=False) from error

    def delete(self, job_ids: Iterable[str]) -> None:
        """Delete the files of jobs; the sweep deletes the others later if the store fails."""
        try:
            with explained_errors():
                for job_id in job_ids:
                    for listed in self._store.list(_folder(job_id)):
                        self._store.delete([file["path"] for file in listed])
        except ObjectStoreError as error:
            log.warning("files of deleted jobs stay for now", reason=str(error))

    def sweep(self, database: LedgerDatabase, older_than: timedelta = SWEPT_AFTER) -> int:
        """Delete the files that no row names and that are older than `older_than`; return how many."""
        swept = 0
        for paths in self._old_paths(utc_now() - older_than):
            named = _named_files(database, {_job_of(path) for path in paths})
            unnamed = [path for path in paths if path not in named]
            if unnamed:
                self._store.delete(unnamed)
            swept += len(unnamed)
        return swept

    def _old_paths(self, before: datetime) -> Iterator[list[str]]:
        for listed in self._store.list(f"{_FOLDER}/", chunk_size=_FILES_IN_ONE_QUERY):
            yield [file["path"] for file in listed if file["last_modified"] < before]


def _named_files(database: LedgerDatabase, job_ids: set[str]) -> set[str]:
    statement = select(job.c.id, job.c.payload, job.c.result).where(job.c.id.in_(job_ids))
    with database.reading() as connection:
        return {
            _key(id_, text.removeprefix(MARK))
            for id_, *texts in connection.execute(statement)
            for text in texts
            if text is not None and is_check(text)
        }


def _folder(job_id: str) -> str:
    # By the end of the id, because its beginning is the time and would fill one folder after another.
    return f"{_FOLDER}/{job_id[-2:]}/{job_id}"


def _key(job_id: str, name: str) -> str:
    return f"{_folder(job_id)}/{name}"


def _job_of(path: str) -> str:
    return path.split("/")[2]


@locked_cache
def get_claim_checks() -> ClaimChecks:
    """Return this process's claim checks, made from the settings."""
    settings = get_settings()
    # A ledger in memory has no files beside it.
    inline_bytes = sys.maxsize if settings.tasks.eager else settings.ledger.inline_bytes
    return ClaimChecks(partial(open_store, settings.files_url), inline_bytes)
