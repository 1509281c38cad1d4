"""The program of the process that commits beside the server.

    python -m jobyard.http.commit.commit_process_main FD

FD is its end of a socket pair. It reads pickled groups of jobs, and writes an answer for each, and signs of
life while it works on one.
"""

import pickle
import signal
import socket
import sys
import threading
from contextlib import suppress
from io import BufferedRWPair
from time import sleep

from jobyard.broker.accept_and_publish import get_accept_and_publish
from jobyard.http.commit.commit_process import LENGTH_BYTES, READY, SIGN_OF_LIFE_SECONDS, Answer
from jobyard.jobs.database.registered_processes import register_process
from jobyard.jobs.errors import LedgerUnavailableError, OutcomeUnknownError
from jobyard.jobs.job import Acceptance, NewJob
from jobyard.jobs.ledger import Ledger, get_ledger
from jobyard.settings import get_settings
from jobyard.settings.garbage_collection import freeze_objects
from jobyard.settings.log_setup import set_up_logging


def main() -> None:
    """Serve until the server closes its end, or has ended."""
    # After such a signal the server may have requests to finish, so this process outlives it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    set_up_logging(get_settings().log)
    ledger = get_ledger()
    register_process(ledger.database.url)
    freeze_objects()
    # A server that is killed may leave half a request behind.
    connection = socket.socket(fileno=int(sys.argv[1]))
    with connection, suppress(EOFError, OSError, pickle.UnpicklingError):
        serve(connection.makefile("rwb"), ledger)


def serve(stream: BufferedRWPair, ledger: Ledger) -> None:
    """Answer requests; raises `EOFError` once the other end is closed."""
    answers = _Answers(stream)
    threading.Thread(target=answers.show_life, name="signs of life", daemon=True).start()
    answers.send(READY)
    while True:
        new_jobs = pickle.load(stream)
        answers.is_awaited = True
        _accept(answers, ledger, new_jobs)


class _Answers:
    """What the process writes, from two threads."""

    def __init__(self, stream: BufferedRWPair) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self.is_awaited = True

    def send(self, answer: Answer) -> None:
        content = pickle.dumps(answer)
        self.is_awaited = False
        self._write(len(content).to_bytes(LENGTH_BYTES) + content)

    def show_life(self) -> None:
        """Tell the server that an answer takes long because of the ledger, and not because this is frozen."""
        with suppress(OSError, ValueError):  # the server has gone
            while True:
                sleep(SIGN_OF_LIFE_SECONDS)
                if self.is_awaited:
                    self._write(bytes(LENGTH_BYTES))

    def _write(self, content: bytes) -> None:
        with self._lock:
            self._stream.write(content)
            self._stream.flush()


def _accept(answers: _Answers, ledger: Ledger, new_jobs: list[NewJob]) -> None:
    has_answered = False

    def answer(acceptances: list[Acceptance]) -> None:
        nonlocal has_answered
        has_answered = True
        answers.send(acceptances)

    try:
        get_accept_and_publish().accept(ledger.accept, new_jobs, answer=answer)
    except Exception as error:
        if has_answered:
            raise  # this process ends; the server starts another, and the keeper sends missing messages
        answers.send(error if isinstance(error, (LedgerUnavailableError, OutcomeUnknownError)) else None)


if __name__ == "__main__":
    main()
