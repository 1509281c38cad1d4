"""`python -m jobyard.cli.move_broker`: publishes on the broker of the settings what waits for its message at
another one.

The ledger is the truth: a queued job that was published before is called unsent, and is published here and
now. So the command may be killed at any time and run again, beside a yard that works, whatever processes of
the old broker and of the new one there are; a message too many claims nothing.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from time import sleep
from typing import Final

from pydantic import ValidationError

from jobyard.broker.checks.broker import broker_fault
from jobyard.broker.old_broker import CANNOT_ASK_WORKERS, OldBroker, with_broker
from jobyard.broker.publisher import get_publisher
from jobyard.broker.same_broker import are_the_same
from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema_version import check_is_migrated
from jobyard.jobs.errors import JobyardError
from jobyard.jobs.keeper.broker_move import count_published, has_published, now
from jobyard.jobs.keeper.keeper import Keeper
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.reading.declared_queues import known_queues
from jobyard.settings import Settings, SettingsError, get_settings
from jobyard.settings.log_setup import set_up_logging
from jobyard.settings.secrets import masked_url
from jobyard.settings.urls.broker_kind import broker_kind

# Where it may stand instead of on the command line, which everybody on the machine can read.
VARIABLE: Final = "FROM"
NAME: Final = f"{VARIABLE} (--from)"
LOOK_EVERY_SECONDS: Final = 2.0
LOOK_AGAIN_SECONDS: Final = 0.1
STILL_SECONDS: Final = 15.0


def main() -> None:
    options = _options()
    try:
        settings = get_settings()
        set_up_logging(settings.log)
        check_is_migrated(get_ledger().database)
    except (SettingsError, JobyardError) as error:
        sys.exit(str(error))
    if fault := broker_fault(settings):
        sys.exit(f"{fault.sentence}\nNothing was moved.")
    old = _old_broker(options, settings)
    _report(get_ledger().database, old)
    if options.dry_run:
        return
    if old and options.drain:
        _drain(old)
    elif old and (workers := old.workers()):
        _say(f"{', '.join(workers)} still listen at the old broker: run this once more when they have ended")
    _say(f"published again: {publish_again(get_ledger().database, settings)}")
    if old and options.empty:
        _say(f"thrown away at the old broker: {old.empty()}")


def publish_again(database: LedgerDatabase, settings: Settings) -> int:
    """Publish on the broker of the settings what was published before now and waits; return how many jobs."""
    keeper, publisher = Keeper(database, get_publisher(), settings), get_publisher()
    moment, queues = now(database), _queues()
    published = 0
    while has_published(database, moment):
        moved = keeper.publish_again(moment, queues)
        published += moved
        if not moved:  # others hold the rows that are left
            sleep(LOOK_AGAIN_SECONDS)
        while not publisher.has_sent():
            _say("the new broker takes nothing now, waiting for it")
            sleep(LOOK_EVERY_SECONDS)
    publisher.flush(settings.broker.timeout.total_seconds())
    return published


def _queues() -> list[str]:
    database = get_ledger().database
    return sorted({*known_queues(database), *count_published(database)})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m jobyard.cli.move_broker", description=__doc__.partition("\n\n")[0]
    )
    parser.add_argument(
        "--from",
        dest="old",
        default=os.environ.get(VARIABLE),
        metavar="URL",
        help="the broker to move away from; the one to move to is JOBYARD_BROKER__URL",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what waits where, and do nothing")
    parser.add_argument(
        "--drain",
        action="store_true",
        help="wait until the old broker's workers have emptied it and are stopped",
    )
    parser.add_argument(
        "--empty",
        action="store_true",
        help="at the end throw away what waits in the yard's queues at the old broker",
    )
    options = parser.parse_args()
    if (options.drain or options.empty) and not options.old:
        parser.error("--drain and --empty need the old broker: --from URL")
    return options


def _old_broker(options: argparse.Namespace, settings: Settings) -> OldBroker | None:
    if not options.old:
        return None
    try:
        old = OldBroker(with_broker(settings, options.old), _queues())
    except ValidationError as error:
        sys.exit(
            "\n".join(f"{NAME}: {wrong['msg'].removeprefix('Value error, ')}" for wrong in error.errors())
        )
    if are_the_same(settings.broker_url, options.old):
        sys.exit(f"{NAME}: the old broker is the one of JOBYARD_BROKER__URL; set that to the new one first")
    if options.drain and broker_kind(options.old) in CANNOT_ASK_WORKERS:
        sys.exit(
            "--drain: the workers of this broker cannot be asked: stop them when it is empty, without it"
        )
    fault = broker_fault(old.settings, with_queues=False)
    if fault is None:
        return old
    told = fault.sentence.partition(": ")[2]
    if options.drain or options.empty:
        sys.exit(f"{NAME}: {told}\nNothing was moved; without --drain and --empty it need not be there.")
    _say(f"the old broker is not asked: {told}")
    return None


def _report(database: LedgerDatabase, old: OldBroker | None) -> None:
    if old:
        _say(f"messages at the old broker, {masked_url(old.settings.broker_url)}: {_each(old.depths())}")
    _say(f"queued jobs whose message is at some broker: {_each(count_published(database))}")


def _drain(old: OldBroker) -> None:
    """Return when no worker answers at the old broker any more, twice in a row."""
    silent, told, before, moved_at = 0, "", -1, monotonic()
    while silent < 2:
        try:
            workers, waiting = old.workers(), sum(old.depths().values())
        except Exception as error:  # whatever its client raises; it may come back
            silent = 0
            words = f"the old broker does not answer ({type(error).__name__}), asking again"
        else:
            silent = 0 if workers else silent + 1
            moved_at, before = (monotonic() if waiting != before else moved_at), waiting
            words = _progress(workers, waiting, is_still=monotonic() - moved_at > STILL_SECONDS)
        if words != told:
            _say(words)
            told = words
        sleep(0 if silent else LOOK_EVERY_SECONDS)


def _progress(workers: Sequence[str], waiting: int, is_still: bool) -> str:
    names = ", ".join(workers)
    if not workers:
        return f"no worker is left at the old broker, and {waiting} messages are"
    if not waiting:
        return f"the old broker is empty: stop its workers now ({names})"
    if is_still:
        return (
            f"{waiting} messages do not move, perhaps nobody serves their queues: "
            f"stop its workers now ({names})"
        )
    return f"{waiting} messages wait at the old broker for its workers ({names})"


def _each(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{queue} {number}" for queue, number in numbers.items() if number) or "none"


def _say(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; nothing is lost, and it may be run again")
