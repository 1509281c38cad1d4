"""Forks while a thread is in the middle of a transaction, and says how the child fares with the ledger.

python -m tests.support.fork_while_writing
"""

import os
import sys
import threading
import time

from jobyard.jobs.database.ledger_database import get_database
from jobyard.jobs.database.migrate import migrate
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.ledger.fault_counters import FaultKind, count_fault, fault_counts

SECONDS = 0.5


def write_slowly(began: threading.Event) -> None:
    with get_database().writing() as connection:
        count_fault(connection, FaultKind.LATE_RESULT)
        began.set()
        time.sleep(SECONDS)


def main() -> None:
    migrate(get_database())
    began = threading.Event()
    writer = threading.Thread(target=write_slowly, args=(began,))
    writer.start()
    began.wait()
    child = os.fork()
    if child == 0:
        try:
            with get_database().writing() as connection:
                count_fault(connection, FaultKind.BAD_MESSAGE)
        except LedgerUnavailableError as error:
            print(error, flush=True)
            os._exit(1)
        os._exit(0)
    writer.join()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print([(one.what.value, one.times) for one in fault_counts(get_database())])
    sys.exit(status)


if __name__ == "__main__":
    main()
