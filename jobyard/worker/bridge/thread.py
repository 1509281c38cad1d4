"""Runs the bridge on a thread of every worker, where `JOBYARD_CELERY__QUEUES` names queues."""

from typing import Final

import structlog

from jobyard.broker.bridge.sources import source_for
from jobyard.settings import get_settings
from jobyard.worker.background_thread import BackgroundStep, BackgroundThread
from jobyard.worker.bridge.bridge import Bridge

log = structlog.get_logger()

# The pause after a look that found no message, and after a failure of the ledger or the broker.
PAUSE_SECONDS: Final = 0.2
PAUSE_AFTER_FAILURE_SECONDS: Final = 1.0


class BridgeThread(BackgroundThread):
    """Makes passes until it is stopped; a failed one is followed by the next."""

    def __init__(self) -> None:
        super().__init__("bridge")
        self._bridge = Bridge(source_for(get_settings()))
        self._is_failing = False

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self._pass())
        self._bridge.close()

    def _pass(self) -> float:
        """Make a pass; return the seconds to wait after it."""
        try:
            found = self._bridge.pass_once()
        except Exception as error:  # whatever the broker's client raises: the messages are delivered again
            log_event = log.debug if self._is_failing else log.warning  # said once, until a pass succeeds
            log_event("stock messages not taken, trying again", reason=repr(error)[:300])
            self._is_failing = True
            self._bridge.close()
            return PAUSE_AFTER_FAILURE_SECONDS
        self._is_failing = False
        return 0 if found else PAUSE_SECONDS


class BridgeStep(BackgroundStep):
    """Starts the bridge with the worker, and stops it first."""

    def make_thread(self) -> BackgroundThread:
        return BridgeThread()
