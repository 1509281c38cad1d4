"""Accepts jobs again where the ledger's answer was lost, until it is known whether they are in it.

The ids are the caller's own, so what an earlier try has committed is found and not written twice, and what
an old connection is still committing is waited for at the primary key. A query could not tell, because the
server may commit a moment after it was asked.
"""

from collections.abc import Callable, Sequence
from time import sleep
from typing import Final

import structlog

from jobyard.jobs.clock import monotonic
from jobyard.jobs.errors import CommitUnknownError, LedgerUnavailableError, OutcomeUnknownError
from jobyard.jobs.job import Acceptance, NewJob

log = structlog.get_logger()

Accept = Callable[[Sequence[NewJob]], list[Acceptance]]

# Pauses between two tries: a server that restarts is back within a second or two.
FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 0.5


def accept_for_certain(
    accept: Accept, new_jobs: Sequence[NewJob], patience_seconds: float, doubt: str | None = None
) -> list[Acceptance]:
    """Return what `accept` returns; where it is unknown whether it has committed, try again.

    `doubt` says why that is unknown already, after a try by another process. Raises `LedgerUnavailableError`
    where nothing was committed, and `OutcomeUnknownError` where that is not known after `patience_seconds`.
    """
    if doubt is None:
        try:
            return accept(new_jobs)
        except CommitUnknownError as error:
            doubt = str(error)
    deadline, pause = monotonic() + patience_seconds, FIRST_PAUSE_SECONDS
    log.warning("not known whether jobs were committed, trying again", jobs=len(new_jobs), reason=doubt)
    while True:
        try:
            return accept(new_jobs)
        except LedgerUnavailableError as error:
            if monotonic() + pause >= deadline:
                raise OutcomeUnknownError([new.id for new in new_jobs], str(error)) from error
        sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
