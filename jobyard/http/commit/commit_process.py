"""A process beside the server that commits groups of jobs, and publishes them.

The event loop and the work of the ledger would take turns at one interpreter, so each has its own. A request
may be repeated, or given to another process: a job brings its id along, and is committed once.
"""

import asyncio
import pickle
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from jobyard.jobs.clock import monotonic
from jobyard.jobs.errors import LedgerUnavailableError, OutcomeUnknownError
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.settings.processes import child_environment

READY: Final = None
# Each answer is preceded by its length, in this many bytes; the length 0 is a sign of life.
LENGTH_BYTES: Final = 4
# While it works on a request, the process gives a sign of life this often, however long the ledger keeps it.
SIGN_OF_LIFE_SECONDS: Final = 0.5
# After this silence the process is frozen: six signs are missing. Most clients wait longer for an answer.
LONGEST_SILENCE_SECONDS: Final = 3.0
LONGEST_START_SECONDS: Final = 60.0
# The time to send what was committed, which takes no longer than the longest silence of a broker.
LONGEST_END_SECONDS: Final = 10.0

# Acceptances; or an error that the callers meet; or None for any other error, which the server is to meet.
Answer = list[Acceptance] | LedgerUnavailableError | OutcomeUnknownError | None


class ProcessLostError(Exception):
    """The process has ended or is frozen, so it is unknown whether it has committed."""


class CommitProcess:
    """The server's end. Requests are answered in order; the next may be sent before the last is answered."""

    def __init__(self) -> None:
        self._answers: deque[asyncio.Future[Answer]] = deque()
        self._heard_at = monotonic()
        self._is_lost = False

    async def start(self) -> None:
        """Return once it answers; raises `ProcessLostError`, and `OSError` where none can be started."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "jobyard.http.commit.commit_process_main", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=child_environment(),
                )
        except OSError:
            ours.close()
            raise
        self._reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        self._reading = asyncio.create_task(self._read_answers())
        try:
            await self._next_answer(LONGEST_START_SECONDS)
        except ProcessLostError:
            await self.kill()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    async def accept(self, new_jobs: Sequence[NewJob]) -> list[Acceptance] | None:
        """Commit jobs there; return None where it met an error that the caller should meet as well.

        Raises `LedgerUnavailableError`, `OutcomeUnknownError` and `ProcessLostError`.
        """
        if self._is_lost:
            raise ProcessLostError("it has ended")
        self._writer.write(pickle.dumps(new_jobs))
        answer = await self._next_answer(LONGEST_SILENCE_SECONDS)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        """Let it send what it has committed, and end."""
        self._writer.close()
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, LONGEST_END_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        """End it at once, if it has not ended."""
        self._process.kill()
        self._process.wait()
        self._writer.close()
        await self._reading

    async def _next_answer(self, longest_silence_seconds: float) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        asked_at = monotonic()
        while not answer.done():
            left = max(asked_at, self._heard_at) + longest_silence_seconds - monotonic()
            if left <= 0:
                answer.cancel()
                raise ProcessLostError(f"no sign of life for {longest_silence_seconds:.0f} s")
            await asyncio.wait([answer], timeout=left)
        return answer.result()

    async def _read_answers(self) -> None:
        try:
            while True:
                length = int.from_bytes(await self._reader.readexactly(LENGTH_BYTES))
                self._heard_at = monotonic()
                if not length:
                    continue
                content: Answer = pickle.loads(await self._reader.readexactly(length))
                answer = self._answers.popleft()
                if not answer.done():
                    answer.set_result(content)
        except (EOFError, OSError) as error:
            self._is_lost = True
            for answer in self._answers:
                if not answer.done():
                    answer.set_exception(ProcessLostError(repr(error)))
