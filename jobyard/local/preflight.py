"""What must be right before anything starts: task modules, ports, a broker to start, the ledger's shape."""

import sys
from collections.abc import Iterator, Sequence

from jobyard.broker.checks.broker import broker_fault, redis_beside_fault
from jobyard.broker.checks.fault import Fault
from jobyard.broker.flower_password import flower_password
from jobyard.jobs.database.ledger_database import get_database
from jobyard.jobs.database.migrate import migrate
from jobyard.local.processes import LocalProcess, needs_valkey
from jobyard.local.valkey import NoServerError, find_server
from jobyard.settings import Settings


def prepare(settings: Settings, processes: Sequence[LocalProcess]) -> None:
    """Make what has to be there before the processes are; ends the program where they could not start.

    Raises `LedgerUnavailableError`.
    """
    wrong = list(complaints(settings, processes))
    if wrong:
        sys.exit("Jobyard cannot start:\n" + "\n".join(f"  - {line}" for line in wrong))
    flower_password(settings)
    migrate(get_database())


def complaints(settings: Settings, processes: Sequence[LocalProcess]) -> Iterator[str]:
    """Yield a sentence for everything that would keep a process from starting."""
    for listener in (process.listener for process in processes if process.listener):
        if listener.is_taken():
            yield (
                f"port {listener.port} on {listener.host} is taken, and {listener.what} needs it: "
                f"stop what listens there, or choose another with {listener.setting}=PORT"
            )
    if needs_valkey(settings):
        try:
            find_server()
        except NoServerError as error:
            yield str(error)
    yield from (fault.sentence for fault in _faults(settings) if fault.is_wrong)


def _faults(settings: Settings) -> Iterator[Fault]:
    # The embedded Valkey is not started yet; what listens in its place is named above.
    embedded = settings.embedded_redis_url
    if settings.broker_url != embedded and (fault := broker_fault(settings)):
        yield fault
    if settings.redis_url != embedded and (fault := redis_beside_fault(settings)):
        yield fault
