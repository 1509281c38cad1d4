"""RedBeat behind the ledger: a due schedule becomes an accepted job. The only file that touches RedBeat."""

from datetime import datetime, timedelta
from typing import Any, cast

import structlog
from celery.schedules import crontab
from redbeat.schedulers import (
    REDBEAT_REDIS_KEY,
    RedBeatScheduler,
    RedBeatSchedulerEntry,
    acquire_distributed_beat_lock,
    get_redis,
)
from redis.exceptions import RedisError

from jobyard.broker.checks.broker import broker_fault, exit_if_misconfigured, redis_beside_fault
from jobyard.broker.redis.client import open_redis
from jobyard.jobs.clock import utc_now
from jobyard.jobs.crash_points import CrashPoint, reach
from jobyard.jobs.errors import LedgerUnavailableError
from jobyard.jobs.job import Verdict
from jobyard.jobs.ledger import get_ledger
from jobyard.jobs.reading.search import latest_with_tag
from jobyard.schedules.declared import declared_schedules
from jobyard.settings import get_settings
from jobyard.tasks.handle import JobHandle
from jobyard.tasks.options import JobOptions
from jobyard.tasks.registry import find_task
from jobyard.tasks.submission import submit

log = structlog.get_logger()

RETRY_SECONDS = 1.0
# Two beats on two machines may differ by so much.
A_WRONG_CLOCK = timedelta(seconds=10)


class LedgerScheduler(RedBeatScheduler):  # type: ignore[misc]
    """RedBeat's lock and clock; each tick is a job in the ledger, unique on (schedule, nominal time)."""

    # Celery's opens a connection to the broker before every tick, and waits for it as long as it takes,
    # while the lock runs out. A tick is a job in the ledger; the publisher rings for it, or the keeper.
    producer = None
    _is_installed = False

    def __init__(self, app: Any, **options: Any) -> None:
        """Overridden so that RedBeat finds its client open: it reads other URLs than ours."""
        settings = get_settings()
        client = open_redis(settings.redis_url, settings.broker.timeout, decode_responses=True)
        setattr(app, REDBEAT_REDIS_KEY, client)
        super().__init__(app, **options)

    def setup_schedule(self) -> None:
        """Overridden so that the declared schedules are installed, and removed when they are declared no
        longer.

        One that Redis has forgotten goes on from the last tick that the ledger knows of. Where Redis or the
        ledger is not there yet, the next tick installs them.
        """
        settings = get_settings()
        exit_if_misconfigured(broker_fault(settings), redis_beside_fault(settings))
        try:
            self._install_declared()
        except (RedisError, LedgerUnavailableError) as error:
            log.warning("schedules not installed yet", reason=str(error))

    def _install_declared(self) -> None:
        self.app.redbeat_conf.schedule = {
            schedule.name: {
                "task": schedule.task.name,
                "schedule": schedule.when,
                "args": [schedule.payload.model_dump(mode="json")],
            }
            for schedule in declared_schedules()
        }
        forgotten = [
            schedule.name
            for schedule in declared_schedules()
            if not get_redis(self.app).exists(self._key(schedule.name))
        ]
        super().setup_schedule()
        for name in forgotten:
            self._go_on_from_last_tick(name)
        self._is_installed = True

    def _key(self, name: str) -> str:
        return str(RedBeatSchedulerEntry.generate_key(self.app, name))

    def _go_on_from_last_tick(self, name: str) -> None:
        last = latest_with_tag(get_ledger().database, _tag(name))
        if last is not None:
            RedBeatSchedulerEntry.from_key(self._key(name), app=self.app).reschedule(last.created_at)

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Overridden so that a Redis that is away, or has forgotten everything, does not end beat."""
        try:
            if self.lock is not None and self.lock.owned():
                if not self._is_installed:
                    self._install_declared()
                self._call_back_from_the_future()
                return float(super().tick(*arguments, **options))
            self._lead_again()
        except (RedisError, LedgerUnavailableError) as error:
            log.warning("no tick now, trying again", reason=str(error))
        return RETRY_SECONDS

    def _call_back_from_the_future(self) -> None:
        # A clock that was set back leaves a last run in the future, after which nothing would be due for
        # as long as the clock was wrong.
        latest = utc_now() + A_WRONG_CLOCK
        for schedule in declared_schedules():
            entry = RedBeatSchedulerEntry.from_key(self._key(schedule.name), app=self.app)
            if entry.last_run_at is not None and entry.last_run_at > latest:
                log.warning("last run is in the future, counting from now", schedule=schedule.name)
                entry.reschedule(utc_now())

    def _lead_again(self) -> None:
        # The lock was lost with Redis' memory, or to another beat while this one was away.
        if self.lock is None:
            acquire_distributed_beat_lock(sender=_Sender(self))
        elif not self.lock.acquire(blocking=False):
            return
        log.warning("leading again", lock=self.lock_key)
        self._install_declared()

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
        options = JobOptions(tags=(_tag(entry.name),))
        [tick] = submit(task, [payload], options, f"tick:{entry.name}:{nominal.isoformat()}")
        reach(CrashPoint.TICKED)
        log.info(
            "tick",
            schedule=entry.name,
            nominal=nominal.isoformat(),
            job_id=tick.job_id,
            is_new=tick.verdict is Verdict.NEW,
        )
        if advance:
            self.reserve(entry)
        return JobHandle(tick.job_id, task.result_adapter)


class _Sender:
    """What RedBeat's own signal handler asks of its sender."""

    def __init__(self, scheduler: LedgerScheduler) -> None:
        self.scheduler = scheduler


def _tag(schedule: str) -> str:
    return f"schedule:{schedule}"


def _nominal_time(entry: RedBeatSchedulerEntry) -> datetime:
    # When the tick was due, and not when it was noticed: so two beats, or one that is started again,
    # name the same tick the same.
    if entry.last_run_at is None:
        return utc_now().replace(microsecond=0)
    if isinstance(entry.schedule, crontab):
        last_run, delta, _ = entry.schedule.remaining_delta(entry.last_run_at)
        return cast(datetime, last_run + delta)
    return cast(datetime, entry.last_run_at + entry.schedule.run_every)
