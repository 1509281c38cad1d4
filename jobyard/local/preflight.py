"""What must be right before anything starts: task modules, ports, a broker to start, the ledger's shape."""

import sys
from collections.abc import Iterator

from jobyard.broker.checks.broker import broker_fault, redis_beside_fault
from jobyard.broker.checks.fault import Fault
from jobyard.broker.flower_password import flower_password
from jobyard.jobs.database.engine import get_engine
from jobyard.jobs.database.migrate import migrate
from jobyard.local.ports import listeners, needs_valkey
from jobyard.local.valkey import NoServerError, find_server
from jobyard.settings.settings import Settings
from jobyard.tasks.registry import load_tasks


def complaints(settings: Settings) -> Iterator[str]:
    """Yield a sentence for everything that would keep the yard from starting."""
    for listener in listeners(settings):
        if listener.is_taken():
            yield (
                f"port {listener.port} on {listener.host} is taken, and {listener.what} needs it: "
                f"stop what listens there, or choose another with {listener.setting}=PORT make run"
            )
    if needs_valkey(settings):
        try:
            find_server()
        except NoServerError as error:
            yield str(error)
    yield from (fault.sentence for fault in _faults(settings) if fault.is_wrong)


def _faults(settings: Settings) -> Iterator[Fault]:
    # The embedded Valkey is not started yet; whoever listens in its place is named above.
    embedded = settings.embedded_redis_url
    if settings.broker_url != embedded and (fault := broker_fault(settings)):
        yield fault
    if settings.redis_url != embedded and (fault := redis_beside_fault(settings)):
        yield fault


def prepare(settings: Settings) -> None:
    """Make what has to be there before the processes are; ends the program where they could not start.

    Raises `TaskDeclarationError` and `LedgerUnavailableError`.
    """
    load_tasks()
    wrong = list(complaints(settings))
    if wrong:
        sys.exit("The yard cannot start:\n" + "\n".join(f"  - {line}" for line in wrong))
    flower_password(settings)
    migrate(get_engine())
