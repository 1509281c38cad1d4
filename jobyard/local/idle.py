"""A process that has nothing to do, and stays so that its neighbours do too."""

import signal
import sys


def stay_idle(reason: str) -> None:
    """Say why there is nothing to do, and wait to be ended."""
    print(reason, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()
