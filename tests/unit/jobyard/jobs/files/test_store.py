"""Files: whole or not at all, under names that nobody outside chooses."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from obstore.store import LocalStore

from jobyard.jobs.errors import FileNotStoredError, FileTooLargeError, ObjectStoreError
from jobyard.jobs.files.store import FileStore
from jobyard.jobs.job import new_id
from jobyard.jobs.ledger import Ledger


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def files(own_ledger: Ledger, folder: Path) -> FileStore:
    return FileStore(LocalStore(prefix=folder, mkdir=True), own_ledger.database, max_bytes=1000)


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_comes_back_as_it_was_stored(files: FileStore) -> None:
    stored = files.save([b"some ", b"bytes"], name="a.txt", media_type="text/plain")
    assert files.read(stored.id) == b"some bytes"
    assert files.describe(stored.id) == stored
    assert (stored.size, stored.sha256) == (10, hashlib.sha256(b"some bytes").hexdigest())


def test_a_name_from_outside_is_only_written_down(files: FileStore, folder: Path) -> None:
    stored = files.save(b"x", name="../../etc/passwd")
    assert files.describe(stored.id).name == "../../etc/passwd"
    assert [path.name for path in kept(folder)] == [stored.id]


def test_too_large_a_file_is_refused_and_nothing_of_it_is_kept(files: FileStore, folder: Path) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    with pytest.raises(FileTooLargeError, match="1000 bytes"):
        files.save(chunks(), name="large")
    assert kept(folder) == []


@pytest.mark.anyio
async def test_what_arrives_in_chunks_is_stored_whole_or_not_at_all(files: FileStore, folder: Path) -> None:
    async def chunks(how_many: int) -> AsyncIterator[bytes]:
        for _ in range(how_many):
            yield b"x" * 100

    stored = await files.save_async(chunks(10), name="fits")
    assert stored.size == 1000
    assert b"".join([chunk async for chunk in files.stream(stored.id)]) == b"x" * 1000
    with pytest.raises(FileTooLargeError):
        await files.save_async(chunks(11), name="does not")
    assert len(kept(folder)) == 1


def test_a_sender_who_goes_away_leaves_nothing_behind(files: FileStore, folder: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"the first part"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        files.save(broken(), name="half")
    assert kept(folder) == []


def test_a_store_that_refuses_is_named_with_its_setting_and_nothing_is_recorded(
    files: FileStore, folder: Path
) -> None:
    folder.rmdir()
    folder.write_text("no folder")
    with pytest.raises(ObjectStoreError, match=r"out of reach.*JOBYARD_FILES__URL"):
        files.save(b"x", name="x")


def test_a_file_whose_bytes_are_gone_is_unknown(files: FileStore, folder: Path) -> None:
    stored = files.save(b"x", name="x")
    kept(folder)[0].unlink()
    with pytest.raises(FileNotStoredError, match=stored.id):
        files.read(stored.id)


def test_an_unknown_file_is_said_to_be_unknown(files: FileStore) -> None:
    nobodys = new_id()
    with pytest.raises(FileNotStoredError, match=nobodys):
        files.read(nobodys)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
