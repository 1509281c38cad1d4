"""The program of the process that commits beside the server.

    python -m jobyard.http.commit.commit_process_main FD

FD is its end of a socket pair. It reads pickled groups of jobs, and writes an answer for each.
"""

import pickle
import signal
import socket
import sys
from contextlib import suppress
from io import BufferedRWPair

from jobyard.broker.accept_and_publish import get_accept_and_publish
from jobyard.http.commit.commit_process import LENGTH_BYTES, READY, Answer
from jobyard.jobs.errors import LedgerUnavailableError
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
    freeze_objects()
    # A server that is killed may leave half a request behind.
    connection = socket.socket(fileno=int(sys.argv[1]))
    with connection, suppress(EOFError, OSError, pickle.UnpicklingError):
        serve(connection.makefile("rwb"), ledger)


def serve(stream: BufferedRWPair, ledger: Ledger) -> None:
    """Answer requests; raises `EOFError` once the other end is closed."""
    _send(stream, READY)
    while True:
        _accept(stream, ledger, pickle.load(stream))


def _accept(stream: BufferedRWPair, ledger: Ledger, new_jobs: list[NewJob]) -> None:
    has_answered = False

    def answer(acceptances: list[Acceptance]) -> None:
        nonlocal has_answered
        has_answered = True
        _send(stream, acceptances)

    try:
        get_accept_and_publish().accept(ledger.accept, new_jobs, answer=answer)
    except Exception as error:
        if has_answered:
            raise  # this process ends; the server starts another, and the keeper sends missing messages
        _send(stream, str(error) if isinstance(error, LedgerUnavailableError) else None)


def _send(stream: BufferedRWPair, answer: Answer) -> None:
    content = pickle.dumps(answer)
    stream.write(len(content).to_bytes(LENGTH_BYTES) + content)
    stream.flush()


if __name__ == "__main__":
    main()
