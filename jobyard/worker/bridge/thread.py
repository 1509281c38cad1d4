"""Runs the bridge on a thread of every worker, where `JOBYARD_CELERY__QUEUES` names queues."""

import threading
from typing import Any, Final

import structlog
from celery import bootsteps

from jobyard.broker.bridge.sources import source_for
from jobyard.settings import get_settings
from jobyard.worker.bridge.bridge import Bridge

log = structlog.get_logger()

# The pause after a look that found no message, and after a failure of the ledger or the broker.
PAUSE_SECONDS: Final = 0.2
PAUSE_AFTER_FAILURE_SECONDS: Final = 1.0


class BridgeThread:
    """Makes passes until it is stopped; a failed one is followed by the next."""

    def __init__(self) -> None:
        self._bridge = Bridge(source_for(get_settings()))
        self._stopping = threading.Event()
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="bridge", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)

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


class BridgeStep(bootsteps.StartStopStep):
    """Starts the bridge with the worker, and stops it first."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._thread = BridgeThread()

    def start(self, worker: Any) -> None:
        self._thread.start()

    def stop(self, worker: Any) -> None:
        self._thread.stop()
