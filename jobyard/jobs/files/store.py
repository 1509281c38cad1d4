"""The files that jobs read and write: their bytes are in an object store, their descriptions in the ledger.

The store's keys are generated; no name or path from a request ever reaches it.
"""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from jobyard.jobs.clock import utc_now
from jobyard.jobs.database.ledger_database import LedgerDatabase, get_database
from jobyard.jobs.database.schema import file as file_table
from jobyard.jobs.errors import (
    FileNotStoredError,
    FileTooLargeError,
    LedgerUnavailableError,
    ObjectStoreError,
)
from jobyard.jobs.files.object_store import explained_errors, open_store
from jobyard.jobs.job import new_id
from jobyard.settings import get_settings
from jobyard.settings.locked_cache import locked_cache

if TYPE_CHECKING:
    from obstore.store import ObjectStore

UNKNOWN_MEDIA_TYPE = "application/octet-stream"
MAX_NAME_LENGTH = 255


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The description of a file: its size in bytes, its SHA-256 in hex, and the name that it was given."""

    id: str
    name: str
    media_type: str
    size: int
    sha256: str
    created_at: datetime


class FileStore:
    """Saves, describes and reads files; a file is visible only once all of it is stored."""

    def __init__(self, store: "ObjectStore", database: LedgerDatabase, max_bytes: int) -> None:
        self._store, self._database, self.max_bytes = store, database, max_bytes

    def save(self, data: bytes | Iterable[bytes], *, name: str, media_type: str | None = None) -> StoredFile:
        """Store bytes, or chunks of them; raises `FileTooLargeError`, and then nothing is stored."""
        chunks = [data] if isinstance(data, bytes) else data
        file_id, stream = new_id(), _CountedStream(self.max_bytes)
        with stream.explained_errors():
            self._store.put(_key(file_id), stream.count(chunks))
        return self._record(file_id, name, media_type, stream)

    async def save_async(
        self, chunks: AsyncIterable[bytes], *, name: str, media_type: str | None = None
    ) -> StoredFile:
        """Store chunks as they arrive; raises `FileTooLargeError`, and then nothing is stored."""
        file_id, stream = new_id(), _CountedStream(self.max_bytes)
        with stream.explained_errors():
            await self._store.put_async(_key(file_id), stream.count_async(chunks))
        return self._record(file_id, name, media_type, stream)

    def describe(self, file_id: str) -> StoredFile:
        """Return the description of a file; raises `FileNotStoredError`."""
        with self._database.reading() as connection:
            row = connection.execute(select(file_table).where(file_table.c.id == file_id)).one_or_none()
        if row is None:
            raise FileNotStoredError(file_id)
        return StoredFile(**row._mapping)

    def read(self, file_id: str) -> bytes:
        """Return the whole file; raises `FileNotStoredError`."""
        self.describe(file_id)
        try:
            with explained_errors():
                return bytes(self._store.get(_key(file_id)).bytes())
        except FileNotFoundError as error:  # the ledger knows the file, and the store has lost it
            raise FileNotStoredError(file_id) from error

    async def stream(self, file_id: str) -> AsyncIterator[bytes]:
        """Yield the file in chunks; the caller has called `describe` before."""
        found = await self._store.get_async(_key(file_id))
        async for chunk in found.stream():
            yield bytes(chunk)

    def _record(
        self, file_id: str, name: str, media_type: str | None, stream: "_CountedStream"
    ) -> StoredFile:
        stored = StoredFile(
            id=file_id,
            name=name[:MAX_NAME_LENGTH],
            media_type=media_type or UNKNOWN_MEDIA_TYPE,
            size=stream.size,
            sha256=stream.digest.hexdigest(),
            created_at=utc_now(),
        )
        try:
            with self._database.writing() as connection:
                connection.execute(
                    insert(file_table).values({c: getattr(stored, c) for c in stored.__slots__})
                )
        except LedgerUnavailableError:
            self._store.delete(_key(file_id))  # no caller knows its id
            raise
        return stored


class _CountedStream:
    """Counts and hashes the bytes of a stream, and ends the stream at the limit."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes, self.size, self.digest = limit_bytes, 0, hashlib.sha256()
        self._source_error: OSError | None = None

    def count(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        try:
            for chunk in chunks:
                yield self._add(chunk)
        except OSError as error:
            self._source_error = error
            raise

    async def count_async(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                yield self._add(chunk)
        except OSError as error:
            self._source_error = error
            raise

    @contextmanager
    def explained_errors(self) -> Iterator[None]:
        """Raise `ObjectStoreError` if the store fails; an error of the source of the chunks passes."""
        try:
            with explained_errors():
                yield
        except ObjectStoreError:
            if self._source_error is not None:
                raise self._source_error from None
            raise

    def _add(self, chunk: bytes) -> bytes:
        self.size += len(chunk)
        if self.size > self.limit_bytes:
            raise FileTooLargeError(self.limit_bytes)
        self.digest.update(chunk)
        return chunk


def _key(file_id: str) -> str:
    # Two levels, so that no folder of a local store has millions of entries. The folder is named after the
    # end of the id, because its beginning is the time and would fill one folder after another.
    return f"{file_id[-2:]}/{file_id}"


@locked_cache
def get_files() -> FileStore:
    """Return this process's file store, made from the settings."""
    settings = get_settings()
    return FileStore(open_store(settings.files_url), get_database(), settings.files.max_bytes)
