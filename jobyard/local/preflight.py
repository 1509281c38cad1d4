"""The checks before anything starts: ports, a broker to start, and the ledger's schema."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from jobyard.broker.checks.broker import broker_fault, separate_redis_fault
from jobyard.broker.checks.eager import eager_fault
from jobyard.broker.checks.fault import Fault
from jobyard.broker.flower_password import flower_password
from jobyard.jobs.database.ledger_database import open_database
from jobyard.jobs.database.migrate import migrate
from jobyard.local.processes import LocalProcess, needs_valkey
from jobyard.local.valkey import NoServerError, find_server
from jobyard.settings import Settings
from jobyard.settings.private_files import close_to_others

# The default ledger, file store and Valkey, and the mails that were caught.
DATA_IN_HOME: Final = ("jobyard.db*", "files", "valkey", "mails")


def prepare(settings: Settings, processes: Sequence[LocalProcess]) -> None:
    """Make the password and the ledger before the processes start; ends the program if one could not start.

    Raises `LedgerUnavailableError`.
    """
    faults = list(start_faults(settings, processes))
    if faults:
        sys.exit("Jobyard cannot start:\n" + "\n".join(f"  - {fault}" for fault in faults))
    flower_password(settings)
    database = open_database(settings)
    migrate(database)
    database.close()
    close_home_to_others(settings.home)


def close_home_to_others(home: Path) -> None:
    """Close the data, which earlier versions left readable to every user of the machine."""
    for pattern in DATA_IN_HOME:
        for path in home.glob(pattern):
            close_to_others(path)


def start_faults(settings: Settings, processes: Sequence[LocalProcess]) -> Iterator[str]:
    """Yield a sentence for each fault that would keep a process from starting."""
    for listener in (process.listener for process in processes if process.listener):
        if listener.is_taken():
            yield (
                f"port {listener.port} on {listener.host} is taken, and {listener.name} needs it: "
                f"stop what listens there, or choose another with {listener.setting}=PORT"
            )
    if fault := eager_fault(settings):
        yield fault.sentence
    if needs_valkey(settings):
        try:
            find_server()
        except NoServerError as error:
            yield str(error)
    yield from (fault.sentence for fault in _broker_faults(settings) if fault.is_wrong)


def _broker_faults(settings: Settings) -> Iterator[Fault]:
    # The embedded Valkey has not been started yet; the check of its port is above.
    if not settings.is_broker_embedded and (fault := broker_fault(settings)):
        yield fault
    if not settings.is_redis_embedded and (fault := separate_redis_fault(settings)):
        yield fault
