"""A process beside the server that commits groups of jobs and rings for them: `python -m
jobyard.http.accept.commit_process FD`.

The server's event loop and the ledger's work would take turns at one interpreter; so they have two. What is
asked twice is committed once, since a job brings its id along: whoever finds the process gone may ask again,
or do it by itself.
"""

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from io import BufferedRWPair
from pathlib import Path
from typing import Final

from jobyard.broker.early_publish import get_doorbell
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.jobs.ledger.ledger import Ledger, get_ledger
from jobyard.settings.garbage_collection import spare_the_collector
from jobyard.settings.log_setup import set_up_logging
from jobyard.settings.settings import Settings, get_settings

ROOT: Final = Path(__file__).resolve().parents[3]
READY: Final = "ready"
LENGTH_BYTES: Final = 4
LONGEST_START_SECONDS: Final = 60.0
# What it has rung for is sent before it goes, which takes no longer than a broker may be silent.
LONGEST_END_SECONDS: Final = 10.0

# Acceptances, why the ledger is out of reach, or None where the asker should see for itself.
Answer = list[Acceptance] | str | None


class ProcessLostError(Exception):
    """The process is gone, or does not answer: whether it has committed is unknown."""


class Beside:
    """The server's end. It may be asked before its last answer has come; it takes groups in turn."""

    def __init__(self, settings: Settings) -> None:
        # No statement waits longer than that for another writer, nor for a server.
        self._patience = (settings.ledger.busy_timeout + settings.ledger.timeout).total_seconds()
        self._asked: deque[asyncio.Future[Answer]] = deque()
        self._is_lost = False

    async def start(self) -> None:
        """Return once it answers; raises `ProcessLostError`, and `OSError` where none can be started."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "jobyard.http.accept.commit_process", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
                )
        except OSError:
            ours.close()
            raise
        self._reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        self._listening = asyncio.create_task(self._listen())
        try:
            await self._answer(LONGEST_START_SECONDS)
        except ProcessLostError:
            await self.kill()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    async def accept(self, new_jobs: Sequence[NewJob]) -> list[Acceptance] | None:
        """Commit jobs there; None where it met a fault, which whoever asks should meet as well.

        Raises `LedgerUnavailableError`, and `ProcessLostError`.
        """
        if self._is_lost:
            raise ProcessLostError("it has ended")
        self._writer.write(pickle.dumps(new_jobs))
        answer = await self._answer(self._patience)
        if isinstance(answer, str):
            raise LedgerUnavailableError(answer)
        return answer

    async def close(self) -> None:
        """Let it finish and go."""
        self._writer.close()
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, LONGEST_END_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        """End it here and now, where it has not ended."""
        self._process.kill()
        self._process.wait()
        self._writer.close()
        await self._listening

    async def _answer(self, within_seconds: float) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        try:
            return await asyncio.wait_for(answer, within_seconds)
        except TimeoutError:
            raise ProcessLostError(f"no answer for {within_seconds:.0f} s") from None

    async def _listen(self) -> None:
        try:
            while True:
                length = int.from_bytes(await self._reader.readexactly(LENGTH_BYTES))
                said: Answer = pickle.loads(await self._reader.readexactly(length))
                answer = self._asked.popleft()
                if not answer.done():
                    answer.set_result(said)
        except (EOFError, OSError) as error:
            self._is_lost = True
            for answer in self._asked:
                if not answer.done():
                    answer.set_exception(ProcessLostError(repr(error)))


def serve(stream: BufferedRWPair, ledger: Ledger) -> None:
    """Answer until the other end is closed, or its process is gone."""
    _say(stream, READY)
    while True:
        new_jobs: list[NewJob] = pickle.load(stream)
        try:
            acceptances = ledger.accept(new_jobs)
        except LedgerUnavailableError as error:
            _say(stream, str(error))
        except Exception:
            _say(stream, None)
        else:
            _say(stream, acceptances)
            get_doorbell().ring_for(new_jobs, acceptances)


def _say(stream: BufferedRWPair, answer: Answer) -> None:
    content = pickle.dumps(answer)
    stream.write(len(content).to_bytes(LENGTH_BYTES) + content)
    stream.flush()


def main() -> None:
    # It ends when its server does, which may have requests to finish after a Ctrl-C for all of them.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    set_up_logging(get_settings().log)
    ledger = get_ledger()
    spare_the_collector()
    connection = socket.socket(fileno=int(sys.argv[1]))
    # The server may be killed in the middle of a word.
    with connection, suppress(EOFError, OSError, pickle.UnpicklingError):
        serve(connection.makefile("rwb"), ledger)


if __name__ == "__main__":
    main()
