"""RedBeat's scheduler, in which a due schedule becomes a job in the ledger; only this file uses RedBeat."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import structlog
from celery.schedules import crontab
from pydantic_core import from_json, to_json
from redbeat.schedulers import (
    REDBEAT_REDIS_KEY,
    RedBeatConfig,
    RedBeatScheduler,
    RedBeatSchedulerEntry,
    acquire_distributed_beat_lock,
    get_redis,
)
from redis.exceptions import RedisError

from jobyard.broker.checks.broker import broker_fault, exit_if_misconfigured, separate_redis_fault
from jobyard.broker.checks.eager import eager_fault
from jobyard.broker.redis.client import open_redis
from jobyard.jobs.clock import utc_now
from jobyard.jobs.crash_points import CrashPoint, crash_here_if_asked
from jobyard.jobs.database.registered_processes import register_process
from jobyard.jobs.errors import LedgerUnavailableError, OutcomeUnknownError
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

# The pause after a tick that failed, or while another beat holds the lock.
RETRY_SECONDS = 1.0
# The clocks of two beats on two machines may differ by this much.
LONGEST_CLOCK_DIFFERENCE = timedelta(seconds=10)


class LedgerScheduler(RedBeatScheduler):  # type: ignore[misc]
    """RedBeat's lock and clock; each tick is a job in the ledger, unique by schedule and nominal time."""

    # Celery's own property connects to the broker before every tick and waits without limit, while the lock
    # runs out. A tick is a job in the ledger, and the publisher or the keeper sends its message.
    producer = None
    _is_installed = False

    def __init__(self, app: Any, **options: Any) -> None:
        """Overridden so that RedBeat finds an open client: it cannot read our URLs."""
        settings = get_settings()
        client = open_redis(settings.redis_url, settings.broker.timeout, decode_responses=True)
        setattr(app, REDBEAT_REDIS_KEY, client)
        app.redbeat_conf = _Config(app)
        super().__init__(app, **options)

    def setup_schedule(self) -> None:
        """Overridden so that declared schedules are installed, and others removed.

        A schedule that Redis has lost goes on from its last tick in the ledger. If Redis or the ledger is not
        available yet, the next tick installs the schedules.
        """
        settings = get_settings()
        exit_if_misconfigured(eager_fault(settings), broker_fault(settings), separate_redis_fault(settings))
        register_process(get_ledger().database.url)
        try:
            self._install_declared()
        except (RedisError, LedgerUnavailableError) as error:
            log.warning("schedules not installed yet", reason=str(error))

    def _install_declared(self) -> None:
        self.app.redbeat_conf.schedule = {
            schedule.name: {
                "task": schedule.task.name,
                "schedule": schedule.when,
                "args": [from_json(schedule.task.definition.dump(schedule.payload))],
            }
            for schedule in declared_schedules()
        }
        missing = self._missing()
        super().setup_schedule()
        for name in missing:
            self._resume_from_last_tick(name)
        self._is_installed = True

    def _missing(self) -> list[str]:
        # Redis may lose everything, or one key, between any two commands: also while this beat waits for the
        # lock, long after it installed its schedules. (These are commands that RedBeat uses, too: a user of
        # Redis may have no right to others.)
        keys = {schedule.name: self._key(schedule.name) for schedule in declared_schedules()}
        with get_redis(self.app).pipeline() as pipe:
            pipe.zrangebyscore(self.app.redbeat_conf.schedule_key, "-inf", "+inf")
            for key in keys.values():
                pipe.hget(key, "definition")
            planned, *definitions = pipe.execute()
        found = zip(keys.items(), definitions, strict=True)
        return [name for (name, key), definition in found if not definition or key not in planned]

    def _entry(self, name: str) -> RedBeatSchedulerEntry | None:
        try:
            return RedBeatSchedulerEntry.from_key(self._key(name), app=self.app)
        except KeyError:
            return None  # lost just now, and the next tick installs it

    def _key(self, name: str) -> str:
        return str(RedBeatSchedulerEntry.generate_key(self.app, name))

    def _resume_from_last_tick(self, name: str) -> None:
        last = latest_with_tag(get_ledger().database, _tag(name))
        if last is not None and (entry := self._entry(name)):
            entry.reschedule(last.created_at)

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Overridden so that a Redis that is away, or has lost its data, does not end beat."""
        try:
            if self.lock is not None and self.lock.owned():
                if not self._is_installed or self._missing():
                    self._install_declared()
                self._correct_future_runs()
                return float(super().tick(*arguments, **options))
            self._reacquire_lock()
        except (RedisError, LedgerUnavailableError, OutcomeUnknownError) as error:
            log.warning("no tick now, trying again", reason=str(error))
        return RETRY_SECONDS

    def _correct_future_runs(self) -> None:
        # A clock that was set back leaves last runs in the future, and no schedule would be due until then.
        latest = utc_now() + LONGEST_CLOCK_DIFFERENCE
        for schedule in declared_schedules():
            entry = self._entry(schedule.name)
            if entry and entry.last_run_at is not None and entry.last_run_at > latest:
                log.warning("last run is in the future, counting from now", schedule=schedule.name)
                entry.reschedule(utc_now())

    def _reacquire_lock(self) -> None:
        # The lock was lost with Redis's data, or to another beat while this one was away.
        if self.lock is None:
            acquire_distributed_beat_lock(sender=_Sender(self))
        elif not self.lock.acquire(blocking=False):
            return
        log.warning("leading again", lock=self.lock_key)
        self._install_declared()

    def apply_async(
        self, entry: RedBeatSchedulerEntry, producer: Any = None, advance: bool = True, **_: Any
    ) -> JobHandle[Any]:
        """Overridden so that the tick is committed before RedBeat marks it as done.

        If the ledger is unavailable, this raises, the schedule stays due, and the tick is not lost. If
        RedBeat's mark is lost, the same tick comes again and is the same job.
        """
        nominal = _nominal_time(entry).astimezone(UTC)
        task = find_task(entry.task)
        payload = task.decode(to_json(entry.args[0] if entry.args else {}).decode())
        declared = {schedule.name: schedule.options for schedule in declared_schedules()}
        known = declared.get(entry.name, JobOptions())
        options = known.model_copy(update={"tags": (*known.tags, _tag(entry.name))})
        [tick] = submit(task, [payload], options, f"tick:{entry.name}:{nominal.isoformat()}")
        crash_here_if_asked(CrashPoint.TICKED)
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


class _Config(RedBeatConfig):  # type: ignore[misc]
    """RedBeat's own options, apart from the application's `beat_schedule`, which it would replace."""

    schedule: Any = {}  # noqa: RUF012 (a property of its base)


class _Sender:
    """The sender that RedBeat's signal handler expects."""

    def __init__(self, scheduler: LedgerScheduler) -> None:
        self.scheduler = scheduler


def _tag(schedule: str) -> str:
    return f"schedule:{schedule}"


def _nominal_time(entry: RedBeatSchedulerEntry) -> datetime:
    # The time when the tick was due, not when beat noticed it: two beats, or one that was restarted, give the
    # same tick the same time.
    if entry.last_run_at is None:
        return utc_now().replace(microsecond=0)
    if isinstance(entry.schedule, crontab):
        last_run, delta, _ = entry.schedule.remaining_delta(entry.last_run_at)
        return cast(datetime, last_run + delta)
    return cast(datetime, entry.last_run_at + entry.schedule.run_every)
