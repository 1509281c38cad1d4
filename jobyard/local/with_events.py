"""`python -m jobyard.local.with_events COMMAND ...` becomes COMMAND where the broker carries events, or stays
idle."""

import os
import sys

from jobyard.broker.broadcast import no_events
from jobyard.local.idle import stay_idle
from jobyard.settings.settings import get_settings


def main() -> None:
    if words := no_events(get_settings().broker_url):
        stay_idle(f"Flower is not started: {words}")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
