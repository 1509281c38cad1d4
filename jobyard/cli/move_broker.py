"""`jobyard move-broker`: publishes waiting jobs again, on the broker of the settings.

The ledger is the truth: the command marks each queued job that was published before as unsent, and publishes
it. So it may be killed at any time and run again, while processes of the old and the new broker work; a
message too many claims nothing.
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
from jobyard.broker.same_broker import is_same_broker
from jobyard.jobs.clock import monotonic
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema_version import check_is_migrated
from jobyard.jobs.errors import JobyardError
from jobyard.jobs.keeper.broker_move import count_published, database_time, has_published
from jobyard.jobs.keeper.keeper import Keeper
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.reading.declared_queues import known_queues
from jobyard.settings import Settings, SettingsError, get_settings
from jobyard.settings.log_setup import set_up_logging
from jobyard.settings.secrets import masked_url
from jobyard.settings.urls.broker_kind import broker_kind

# The environment variable for the old broker's URL: every user of the machine can read a command line.
VARIABLE: Final = "FROM"
NAME: Final = f"{VARIABLE} (--from)"
# How often a broker that is waited for is polled.
POLL_SECONDS: Final = 2.0
# The pause after a round in which other publishers held all remaining rows.
RETRY_SECONDS: Final = 0.1
# Messages that have not moved for this long are reported as stuck.
STUCK_AFTER_SECONDS: Final = 15.0


def main(arguments: Sequence[str]) -> None:
    """Move; ends the program with a sentence where that cannot be."""
    try:
        _move(_options(arguments))
    except KeyboardInterrupt:
        sys.exit("stopped; nothing is lost, and the command may be run again")


def _move(options: argparse.Namespace) -> None:
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
        _say(f"{', '.join(workers)} still use the old broker: run this once more when they have ended")
    _say(f"published again: {publish_again(get_ledger().database, settings)}")
    if old and options.empty:
        _say(f"deleted at the old broker: {old.purge()}")


def publish_again(database: LedgerDatabase, settings: Settings) -> int:
    """Publish all queued jobs that were published before now once more; return how many jobs that were."""
    keeper, publisher = Keeper(database, get_publisher(), settings), get_publisher()
    moment, queues = database_time(database), _queues()
    published = 0
    while has_published(database, moment):
        moved = keeper.publish_again(moment, queues)
        published += moved
        if not moved:  # other publishers hold the remaining rows
            sleep(RETRY_SECONDS)
        while not publisher.wait_until_sent():
            _say("the new broker takes no messages now, waiting for it")
            sleep(POLL_SECONDS)
    publisher.flush(settings.broker.timeout.total_seconds())
    return published


def _queues() -> list[str]:
    database = get_ledger().database
    return sorted({*known_queues(database), *count_published(database)})


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("jobyard move-broker", description=__doc__.partition("\n\n")[0])
    parser.add_argument(
        "--from",
        dest="old",
        default=os.environ.get(VARIABLE),
        metavar="URL",
        help="the broker to move away from; the one to move to is JOBYARD_BROKER__URL",
    )
    parser.add_argument("--dry-run", action="store_true", help="report what waits where, and change nothing")
    parser.add_argument(
        "--drain",
        action="store_true",
        help="first wait until the old broker's workers have emptied it and are stopped",
    )
    parser.add_argument(
        "--empty",
        action="store_true",
        help="at the end delete the messages in Jobyard's queues at the old broker",
    )
    options = parser.parse_args(arguments)
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
    if is_same_broker(settings.broker_url, options.old):
        sys.exit(f"{NAME}: the old broker is the one of JOBYARD_BROKER__URL; set that to the new one first")
    if options.drain and broker_kind(options.old) in CANNOT_ASK_WORKERS:
        sys.exit(
            "--drain: the workers of this broker cannot be asked; leave --drain out, and stop them when it "
            "is empty"
        )
    fault = broker_fault(old.settings, with_queues=False)
    if fault is None:
        return old
    reason = fault.sentence.partition(": ")[2]
    if options.drain or options.empty:
        sys.exit(f"{NAME}: {reason}\nNothing was moved; without --drain and --empty it need not be there.")
    _say(f"the old broker is not asked: {reason}")
    return None


def _report(database: LedgerDatabase, old: OldBroker | None) -> None:
    if old:
        _say(f"messages at the old broker, {masked_url(old.settings.broker_url)}: {_list(old.depths())}")
    _say(f"queued jobs whose message is at some broker: {_list(count_published(database))}")


def _drain(old: OldBroker) -> None:
    """Wait until no worker answers at the old broker, twice in a row."""
    silent, last_message, before, moved_at = 0, "", -1, monotonic()
    while silent < 2:
        try:
            workers, waiting = old.workers(), sum(old.depths().values())
        except Exception as error:  # whatever the client raises; the broker may come back
            silent = 0
            message = f"the old broker does not answer ({type(error).__name__}), asking again"
        else:
            silent = 0 if workers else silent + 1
            moved_at, before = (monotonic() if waiting != before else moved_at), waiting
            message = _progress(workers, waiting, is_stuck=monotonic() - moved_at > STUCK_AFTER_SECONDS)
        if message != last_message:
            _say(message)
            last_message = message
        sleep(0 if silent else POLL_SECONDS)


def _progress(workers: Sequence[str], waiting: int, is_stuck: bool) -> str:
    names = ", ".join(workers)
    if not workers:
        return f"no worker is left at the old broker, which holds {waiting} messages"
    if not waiting:
        return f"the old broker is empty: stop its workers now ({names})"
    if is_stuck:
        return (
            f"{waiting} messages do not move, perhaps no worker serves their queues: "
            f"stop its workers now ({names})"
        )
    return f"{waiting} messages wait at the old broker for its workers ({names})"


def _list(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{queue} {number}" for queue, number in numbers.items() if number) or "none"


def _say(message: str) -> None:
    print(message, flush=True)
