"""A yard for one test, whose ledger the test looks into; jobs get into it as a bare row, or over HTTP."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import redis
from celery import Celery

from jobyard.broker.celery_options import celery_options
from jobyard.jobs.crash_points import CrashPoint
from jobyard.jobs.database.ledger_database import SQLITE, open_database
from jobyard.jobs.database.migrate import migrate
from jobyard.jobs.job import Job, NewJob, Status, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.ledger.fault_counters import FaultKind, fault_counts
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.job_queries import get_job
from jobyard.jobs.reading.search import list_jobs
from jobyard.settings import Settings
from jobyard.settings.queues import DEFAULT_PRIORITY, broker_priority
from jobyard.settings.sections import BrokerSettings, KeeperSettings, LedgerSettings, ValkeySettings
from tests.support.bad_tasks import Deed
from tests.support.broker import Broker
from tests.support.moves import forbid_illegal_moves
from tests.support.processes import Program, YardProcesses
from tests.support.redis_broker import RedisBroker
from tests.support.waiting import wait_until

QUICK = {
    "JOBYARD_KEEPER__INTERVAL": "0.2",
    "JOBYARD_KEEPER__UNSENT_AFTER": "0.5",
    "JOBYARD_KEEPER__RESEND_AFTER": "2",
    "JOBYARD_WORKER__LEASE": "3",
    "JOBYARD_WORKER__GRACE": "2",
    "JOBYARD_BROKER__TIMEOUT": "2",
}


class OwnYard(YardProcesses):
    """Real processes with short patience, and what the ledger says of them."""

    @cached_property
    def ledger(self) -> Ledger:
        url = self.settings.get("JOBYARD_LEDGER__URL")
        patience = self.settings.get("JOBYARD_KEEPER__RESEND_AFTER", "30")
        settings = Settings(
            home=self.home,
            ledger=LedgerSettings(url=url),
            keeper=KeeperSettings(resend_after=timedelta(seconds=float(patience))),
        )
        database = open_database(settings)
        migrate(database)
        forbid_illegal_moves(database.engine)
        return Ledger(database, settings)

    @contextmanager
    def writing_at_once(self) -> Iterator[None]:
        """Hold SQLite's write lock for the block; raises `sqlite3.OperationalError` where another does.

        By the driver alone: Jobyard's own code ends who is stopped with the lock.
        """
        database = self.ledger.database
        if database.dialect != SQLITE:
            yield
            return
        path = str(database.url.database)
        with closing(sqlite3.connect(path, timeout=0.1, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield

    @cached_property
    def journal(self) -> Path:
        return self.home / "journal"

    @cached_property
    def broker(self) -> Broker:
        """The yard's broker: its own Valkey, unless `opened` was given another."""
        return RedisBroker(self)

    def use(self, broker: Broker) -> None:
        """Take another broker than its own Valkey, before anything is started."""
        self.broker = broker
        self.settings |= broker.settings

    @property
    def redis(self) -> "redis.Redis":
        """A client of the yard's Valkey, for what only Redis has."""
        return redis.Redis.from_url(self.valkey_url, socket_timeout=5)

    def hand_in(self, then: str = "return", how_many: int = 1, **more: Any) -> list[str]:
        """Accept jobs of `bad.deed`; the keeper of the yard publishes them."""
        fields = {name: more.pop(name) for name in list(more) if name in NewJob._fields}
        order = Deed(then=then, journal=str(self.journal), **more)
        usual: dict[str, Any] = {"task": "bad.deed", "max_attempts": 3} | fields
        new = [NewJob(id=new_id(), payload=order.model_dump_json(), **usual) for _ in range(how_many)]
        return [acceptance.job_id for acceptance in self.ledger.accept(new)]

    def publish(self, job_ids: list[str], task: str = "bad.deed", queue: str = "default") -> None:
        """Send one message for these jobs at once, as a bundle where they are several."""
        priority = broker_priority(DEFAULT_PRIORITY, self.app.conf.broker_url)
        self.app.send_task(task, args=[job_ids], queue=queue, priority=priority)

    def bundles(self, queue: str = "default") -> list[list[str]]:
        """Return the job ids of each message that waits in one of the broker's queues, the next one first."""
        return [json.loads(message.body)[0][0] for message in self.broker.peek(queue)]

    def sent(self, queue: str = "default") -> list[str]:
        """Return the ids of the jobs that the messages in one of the broker's queues are about."""
        return [job_id for bundle in self.bundles(queue) for job_id in bundle]

    def depths(self, seconds: float = 20) -> dict[str, int | None]:
        """Return what its API says of how many messages wait in each queue; None where nobody knows."""
        answer = httpx.get(f"http://127.0.0.1:{self.port('API')}/v1/queues", timeout=seconds)
        return {queue["name"]: queue["messages"] for queue in answer.json()}

    @cached_property
    def app(self) -> Celery:
        """A Celery application that shares the yard's broker and nothing else."""
        app = Celery("tests", set_as_current=False)
        settings = Settings(
            home=self.home,
            valkey=ValkeySettings(port=self.port("VALKEY")),
            broker=BrokerSettings(url=self.broker.settings.get("JOBYARD_BROKER__URL")),
        )
        app.conf.update(celery_options(settings))
        return app

    def job(self, job_id: str) -> Job:
        return get_job(self.ledger.database, job_id)

    def jobs(self, job_ids: list[str]) -> list[Job]:
        return [self.job(job_id) for job_id in job_ids]

    def wait_for(self, job_ids: list[str], status: Status, seconds: float = 30) -> None:
        def are_there() -> bool:
            return all(job.status is status for job in self.jobs(job_ids))

        try:
            self.wait_until(are_there, seconds, f"{len(job_ids)} jobs to be {status}")
        except AssertionError as error:
            stand = [(job.id, job.status, job.attempt, job.failure) for job in self.jobs(job_ids)]
            others = [entry for entry in stand if entry[1] is not status][:5]
            raise AssertionError(f"{error}\namong the others: {others}") from None

    def everything(self) -> list[tuple[str, Status]]:
        """Return every job that the ledger knows, the yard's own upkeep apart."""
        page = list_jobs(self.ledger.database, JobFilter(), 500)
        return [(job.id, job.status) for job in page.jobs if not job.task.startswith("upkeep.")]

    def runs(self) -> list[tuple[str, int]]:
        """Return what has run: job id and attempt, in order."""
        if not self.journal.exists():
            return []
        lines = (line.partition(":") for line in self.journal.read_text().splitlines())
        return [(job_id, int(attempt)) for job_id, _, attempt in lines]

    def wait_to_begin(self, job_id: str, attempt: int = 1, seconds: float = 20) -> None:
        self.wait_until(lambda: (job_id, attempt) in self.runs(), seconds, "the job to begin")

    def wait_until(self, predicate: Callable[[], object], seconds: float, what: str) -> None:
        """Wait as `waiting.wait_until` does, and say what the programs wrote where it was in vain."""
        try:
            wait_until(predicate, seconds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.last_words()}") from None

    def fault_count(self, what: FaultKind) -> int:
        return next((c.times for c in fault_counts(self.ledger.database) if c.what is what), 0)

    def check_invariant(self, job_ids: list[str]) -> None:
        """Nothing accepted is lost, and only the attempt that the ledger counts has written into it."""
        runs = self.runs()
        assert len(runs) == len(set(runs)), "an attempt ran twice"
        for job in self.jobs(job_ids):
            attempts = [attempt for job_id, attempt in runs if job_id == job.id]
            assert job.attempt >= max(attempts, default=0)
            if job.status is Status.SUCCEEDED:
                assert job.attempt in attempts
                assert job.result == f'{{"said":"attempt {job.attempt}"}}'

    def last_words(self) -> str:
        """Return the end of every program's log, for whoever reads the failure."""
        ends = [f"--- {program.name}\n{program.output()[-1500:]}" for program in self.programs]
        return "\n".join(ends)

    def with_crash_at(self, point: CrashPoint, start: Callable[[], Program]) -> Program:
        """Start a program that ends at a crash point, the first time it gets there."""
        self.extra["CRASH_AT"] = str(point.value)
        try:
            return start()
        finally:
            del self.extra["CRASH_AT"]


@contextmanager
def opened(home: Path, settings: dict[str, str], broker: Broker | None = None) -> Iterator[OwnYard]:
    """Open a yard with a migrated ledger and its broker started; nothing of it outlives the block."""
    yard = OwnYard(home, settings)
    if broker is not None:
        yard.use(broker)
    yard.ledger.database.engine.connect().close()
    yard.broker.start()
    try:
        yield yard
    finally:
        yard.app.close()
        yard.kill_everything()
        yard.broker.close()
        yard.ledger.database.close()
