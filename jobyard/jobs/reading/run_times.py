"""The mean run times of jobs by task: the workers measure them, and the publishers size bundles by them."""

from collections.abc import Mapping

from sqlalchemy import case, select

from jobyard.jobs.clock import db_now
from jobyard.jobs.database.ledger_database import LedgerDatabase
from jobyard.jobs.database.schema import run_time
from jobyard.jobs.database.upsert import insert_or

# The weight of a measurement that is faster than the known time; a slower one replaces the known time at
# once.
_WEIGHT_OF_FASTER = 0.3


def note_run_times(database: LedgerDatabase, seconds: Mapping[str, float]) -> dict[str, float]:
    """Note mean seconds of a job by task, as measured now; return the means that the ledger has then."""
    statement = insert_or(database.dialect, run_time)
    new = statement.excluded.seconds
    smoothed = run_time.c.seconds + _WEIGHT_OF_FASTER * (new - run_time.c.seconds)
    changed = {"seconds": case((new > run_time.c.seconds, new), else_=smoothed), "measured_at": db_now()}
    noted = {}
    with database.writing() as connection:
        for task, mean in sorted(seconds.items()):
            values = {"task": task, "seconds": mean, "measured_at": db_now()}
            upsert = statement.values(values).on_conflict_do_update(index_elements=["task"], set_=changed)
            noted[task] = connection.execute(upsert.returning(run_time.c.seconds)).scalar_one()
    return noted


def known_run_times(database: LedgerDatabase) -> dict[str, float]:
    """Return the mean seconds of a job by task."""
    with database.reading() as connection:
        return {
            task: seconds for task, seconds in connection.execute(select(run_time.c.task, run_time.c.seconds))
        }
