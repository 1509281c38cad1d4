"""`python -m yard.with_events COMMAND ...` becomes COMMAND where the broker carries events, or stays idle."""

import os
import sys

from config.broker_events import no_events
from config.settings import get_settings
from yard.idle import stay_idle


def main() -> None:
    if words := no_events(get_settings().broker_url):
        stay_idle(f"Flower is not started: {words}")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
