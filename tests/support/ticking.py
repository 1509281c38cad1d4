"""Beat's heartbeat, on whichever Redis: who leads, making it due, and the jobs that it became."""

from datetime import timedelta

from celery import Celery
from redbeat.schedulers import REDBEAT_REDIS_KEY, RedBeatSchedulerEntry

from jobyard.broker.celery_options import celery_options
from jobyard.broker.redis.client import open_redis
from jobyard.jobs.clock import utc_now
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.search import list_jobs
from jobyard.settings import Settings
from jobyard.settings.sections import RedisSettings
from tests.support.own_yard import OwnYard
from tests.support.processes import Program

HEARTBEAT = "upkeep-heartbeat"


def start_beat(own: OwnYard) -> Program:
    return own.start("beat", "celery", "-q", "-A", "tasks.app", "beat")


def is_leading(beat: Program) -> bool:
    return "beat: Acquired lock" in beat.output()


def ticks(own: OwnYard) -> list[str]:
    page = list_jobs(own.ledger.database, JobFilter(tag=f"schedule:{HEARTBEAT}"), 100)
    return [job.id for job in page.jobs]


def make_due(url: str, prefix: str = "") -> None:
    """Set the last heartbeat back by a minute, so that the next one is due now."""
    app = Celery("tests", set_as_current=False)
    app.conf.update(celery_options(Settings(redis=RedisSettings(url=url, prefix=prefix))))
    with open_redis(url, timedelta(seconds=5), decode_responses=True) as client:
        setattr(app, REDBEAT_REDIS_KEY, client)
        entry = RedBeatSchedulerEntry.from_key(f"{prefix}jobyard:beat:{HEARTBEAT}", app=app)
        entry.reschedule(utc_now() - timedelta(seconds=61))
