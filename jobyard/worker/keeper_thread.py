"""Runs the keeper on a thread of every worker, or alone as `jobyard keeper`."""

import signal
import sys
import threading
from collections.abc import Callable

import structlog

from jobyard.broker.checks.broker import broker_fault, exit_if_misconfigured
from jobyard.broker.checks.eager import eager_fault
from jobyard.broker.publisher import get_publisher
from jobyard.jobs.database.registered_processes import register_process
from jobyard.jobs.database.schema_version import wait_until_migrated
from jobyard.jobs.errors import JobyardError, LedgerUnavailableError
from jobyard.jobs.keeper.commit_listener import CommitListener
from jobyard.jobs.keeper.keeper import Keeper
from jobyard.jobs.ledger import get_ledger
from jobyard.settings import SettingsError, get_settings
from jobyard.settings.log_setup import set_up_logging
from jobyard.worker.background_thread import BackgroundThread

log = structlog.get_logger()


class KeeperThread(BackgroundThread):
    """Makes a pass every `JOBYARD_KEEPER__INTERVAL`, also after a failed one."""

    def __init__(self, before_pass: Callable[[int], object] = lambda pass_number: None) -> None:
        super().__init__("keeper")
        self._before_pass = before_pass
        self._keeper = Keeper(get_ledger().database, get_publisher(), get_settings())
        self._listener = CommitListener(get_ledger().database, self._stopping)

    def _run(self) -> None:
        interval, pass_number = get_settings().keeper.interval.total_seconds(), 0
        while not self._stopping.is_set():
            self._pass(pass_number)
            pass_number += 1
            if not self._keeper.is_behind:
                self._pause(interval)
        self._listener.close()

    def _pause(self, seconds: float) -> None:
        try:
            self._listener.wait(seconds)
        except Exception:
            log.exception("listening for commits failed, the keeper looks by itself")
            self._stopping.wait(seconds)

    def _pass(self, pass_number: int) -> None:
        try:
            self._before_pass(pass_number)
            self._keeper.pass_once()
        except LedgerUnavailableError as error:
            log.warning("keeper's pass skipped", reason=str(error))
        except Exception:
            # The thread must not end: no other part would notice a dead keeper and restart it.
            log.exception("keeper's pass failed, the next one follows")


def main() -> None:
    try:
        set_up_logging(get_settings().log)
        exit_if_misconfigured(eager_fault(get_settings()))
        wait_until_migrated(get_ledger().database)
        register_process(get_ledger().database.url)
    except (SettingsError, JobyardError) as error:
        sys.exit(str(error))
    exit_if_misconfigured(broker_fault(get_settings()))
    done = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signal_number, lambda *_: done.set())
    keeper = KeeperThread()
    keeper.start()
    log.info("keeping")
    while not done.wait(3600):
        continue
    keeper.stop()


if __name__ == "__main__":
    main()
