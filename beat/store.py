"""RedBeat behind the ledger: a due schedule becomes an accepted job. The only file that touches RedBeat."""

from datetime import datetime
from typing import Any, cast

import structlog
from celery.schedules import crontab
from redbeat.schedulers import RedBeatScheduler, RedBeatSchedulerEntry

from beat.schedules import SHIPPED
from jobs.clock import utc_now
from jobs.crash_points import CrashPoint, reach
from tasks.handle import JobHandle
from tasks.registry import find_task

log = structlog.get_logger()


class LedgerScheduler(RedBeatScheduler):  # type: ignore[misc]
    """RedBeat's lock and clock; each tick is a job in the ledger, unique on (schedule, nominal time)."""

    def setup_schedule(self) -> None:
        """Overridden so that the schedules that ship are installed, and removed when they ship no longer."""
        self.app.redbeat_conf.schedule = {
            shipped.name: {
                "task": shipped.task.name,
                "schedule": shipped.when,
                "args": [shipped.payload.model_dump(mode="json")],
            }
            for shipped in SHIPPED
        }
        super().setup_schedule()

    def apply_async(
        self, entry: RedBeatSchedulerEntry, producer: Any = None, advance: bool = True, **_: Any
    ) -> JobHandle[Any]:
        """Overridden so that the tick is committed before RedBeat notes it as done.

        Where the ledger is out of reach this raises, the schedule stays due, and the tick is not lost;
        where RedBeat's note is lost instead, the same tick comes again and is the same job.
        """
        nominal = _nominal_time(entry)
        task = find_task(entry.task)
        payload = task.payload_model.model_validate(entry.args[0] if entry.args else {})
        handle = task.submit(
            payload,
            idempotency_key=f"tick:{entry.name}:{nominal.isoformat()}",
            tags=[f"schedule:{entry.name}"],
        )
        reach(CrashPoint.TICKED)
        log.info(
            "tick", schedule=entry.name, nominal=nominal.isoformat(), job_id=handle.id, is_new=handle.is_new
        )
        if advance:
            self.reserve(entry)
        return handle


def _nominal_time(entry: RedBeatSchedulerEntry) -> datetime:
    # When the tick was due, and not when it was noticed: so two beats, or one that is started again,
    # name the same tick the same.
    if entry.last_run_at is None:
        return utc_now().replace(microsecond=0)
    if isinstance(entry.schedule, crontab):
        last_run, delta, _ = entry.schedule.remaining_delta(entry.last_run_at)
        return cast(datetime, last_run + delta)
    return cast(datetime, entry.last_run_at + entry.schedule.run_every)
