"""Workers announce themselves, by a name that is one worker's, and are forgotten when they stop."""

from datetime import timedelta

from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.living_workers import Announcement, announce, list_workers, slots_by_queue, withdraw

FIRST = Announcement("io@host", 1, "threads", 4, "default")
SECOND = Announcement("io@host", 2, "threads", 4, "default")
LEASE = timedelta(seconds=30)


def test_a_worker_is_new_once_and_another_of_its_name_is_new_each_time(own_ledger: Ledger) -> None:
    database = own_ledger.database
    assert [announce(database, worker) for worker in (FIRST, FIRST)] == [True, False]
    assert [announce(database, worker) for worker in (SECOND, FIRST, SECOND)] == [True, True, True]


def test_a_worker_that_stops_is_live_no_longer_and_leaves_another_of_its_name(own_ledger: Ledger) -> None:
    database = own_ledger.database
    announce(database, FIRST)
    assert slots_by_queue(database, LEASE) == {"default": 4}
    withdraw(database, SECOND)
    assert [worker.pid for worker in list_workers(database, LEASE)] == [1]
    withdraw(database, FIRST)
    assert list_workers(database, LEASE) == []
    assert slots_by_queue(database, LEASE) == {}
