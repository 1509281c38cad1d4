"""Where a group of jobs is committed and rung for: here, or where groups are large, in a process beside."""

from collections.abc import Sequence
from typing import Final

import structlog

from api.beside import Beside, ProcessLostError
from config.settings import Settings
from jobs.clock import monotonic
from jobs.job import Acceptance, NewJob
from jobs.ledger import Ledger
from tasks.submission import ring_for

log = structlog.get_logger()

# Measured: smaller ones are through sooner than they are handed over.
LARGE_GROUP: Final = 8
START_AGAIN_AFTER_SECONDS: Final = 10.0


class Committer:
    """Commits one group at a time. The process beside starts with the first large group and stays."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger, self._settings = ledger, settings
        self._beside: Beside | None = None
        self._start_at = monotonic()

    def accept(self, new_jobs: Sequence[NewJob]) -> list[Acceptance]:
        """Return once the jobs are durable; raises `LedgerUnavailableError`, and then none of them is."""
        acceptances = self._accept_beside(new_jobs) if len(new_jobs) >= LARGE_GROUP else None
        if acceptances is None:
            acceptances = self._ledger.accept(new_jobs)
            ring_for(new_jobs, acceptances)
        return acceptances

    def close(self) -> None:
        """Let the process beside finish and go."""
        if self._beside is not None:
            self._beside.close()
            self._beside = None

    def _accept_beside(self, new_jobs: Sequence[NewJob]) -> list[Acceptance] | None:
        try:
            beside = self._beside or self._start()
            return beside.accept(new_jobs) if beside is not None and beside.is_ready() else None
        except ProcessLostError as error:
            # Whatever it has committed of them is found by the ids, and is not committed again.
            log.warning("the process that commits was lost, the server does it", reason=str(error))
            self._end()
            return None

    def _start(self) -> Beside | None:
        if not self._settings.api.committer or monotonic() < self._start_at:
            return None
        self._start_at = monotonic() + START_AGAIN_AFTER_SECONDS
        try:
            self._beside = Beside(self._settings)
        except OSError as error:
            log.warning("no process to commit can be started, the server does it", reason=str(error))
            return None
        return self._beside

    def _end(self) -> None:
        if self._beside is not None:
            self._beside.kill()
            self._beside = None
