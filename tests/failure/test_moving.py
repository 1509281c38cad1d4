"""A yard moves to another broker while it works: nothing is lost, nothing runs twice, and soon it is done."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from time import sleep
from typing import Any

import httpx
import pytest

from jobyard.broker.old_broker import OldBroker, with_broker
from jobyard.jobs.crash_points import EXIT_CODE, CrashPoint
from jobyard.jobs.job import Status
from tests.support.certificates import make_certificate
from tests.support.guarded_brokers import (
    SHORTEST_PART,
    GuardedRabbitMQ,
    GuardedRedis,
    guarded_rabbitmq,
    guarded_redis,
)
from tests.support.own_yard import QUICK, OwnYard, opened
from tests.support.processes import Program, free_port
from tests.support.rabbitmq_node import require_rabbitmq
from tests.support.ticking import is_leading, make_due, start_beat, ticks

pytestmark = pytest.mark.timeout(240)

Guarded = GuardedRedis | GuardedRabbitMQ


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[OwnYard]:
    """A yard with its broker, where the keepers alone would take ten minutes to notice a move."""
    with opened(tmp_path, QUICK | {"JOBYARD_KEEPER__RESEND_AFTER": "600"}) as yard:
        yield yard


@pytest.fixture(params=["redis", "rabbitmq"])
def another(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The broker to move to, with a password."""
    folder = tmp_path_factory.mktemp("another")
    certificate = make_certificate(folder)
    if request.param == "redis":
        with guarded_redis(folder, certificate) as redis:
            yield redis
    else:
        require_rabbitmq()
        with guarded_rabbitmq(folder, certificate) as rabbitmq:
            yield rabbitmq


def embedded(own: OwnYard) -> str:
    return own.valkey_url


def settle_at(own: OwnYard, url: str) -> None:
    """Let what is started from now on use another broker, and another port for the API."""
    own.settings["JOBYARD_BROKER__URL"] = url
    own.settings["JOBYARD_API__PORT"] = str(free_port())


def queue_up(own: OwnYard, how_many: int) -> list[str]:
    """Publish jobs at the embedded broker, where nobody fetches them."""
    job_ids = own.hand_in(how_many=how_many)
    for start in range(0, how_many, 10):
        own.publish(job_ids[start : start + 10])
    own.ledger.mark_published(job_ids)
    return job_ids


def moved(own: OwnYard, *options: str, code: int = 0) -> str:
    """Run the command to its end; return what it said, in which no password is."""
    done = own.run("jobyard", "move-broker", *options)
    assert done.returncode == code, done.stdout + done.stderr
    assert SHORTEST_PART not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def depth(own: OwnYard, url: str) -> int:
    broker = OldBroker(with_broker(own.ledger._settings, url), ["default", "email", "collect", "images"])
    try:
        return sum(broker.depths().values())
    finally:
        broker.close()


def test_what_waits_at_the_old_broker_runs_at_the_new_one_at_once(moving: OwnYard, another: Guarded) -> None:
    job_ids = queue_up(moving, 300)
    settle_at(moving, another.url())
    moving.start_worker()
    said = moved(moving, "--from", embedded(moving), "--empty")
    assert "default 30\n" in said  # messages
    assert "default 300\n" in said  # jobs
    assert "published again: 300\n" in said
    assert "deleted at the old broker: 30\n" in said
    moving.wait_for(job_ids, Status.SUCCEEDED)
    moving.check_invariant(job_ids)
    assert len(moving.runs()) == 300
    assert depth(moving, embedded(moving)) == 0


def test_a_dry_run_says_what_waits_where_and_moves_nothing(moving: OwnYard, another: Guarded) -> None:
    queue_up(moving, 30)
    settle_at(moving, another.url())
    said = moved(moving, "--from", embedded(moving), "--empty", "--dry-run")
    assert "messages at the old broker, redis://:***@127.0.0.1" in said
    assert "default 3\n" in said
    assert "default 30\n" in said
    assert (depth(moving, embedded(moving)), depth(moving, another.url())) == (3, 0)


@pytest.mark.parametrize("point", [CrashPoint.TAKEN_UP, CrashPoint.BEFORE_PUBLISH, CrashPoint.PUBLISHED])
def test_the_command_is_killed_in_the_middle_and_run_again(moving: OwnYard, point: CrashPoint) -> None:
    moving.settings["JOBYARD_KEEPER__BATCH"] = "50"
    job_ids = queue_up(moving, 300)
    old, new = embedded(moving), embedded(moving).removesuffix("0") + "1"
    settle_at(moving, new)
    killed = moving.with_crash_at(
        point, lambda: moving.start("move", "jobyard", "move-broker", "--from", old)
    )
    moving.wait_until(lambda: killed.process.poll() is not None, 30, "the command to be killed")
    assert killed.process.returncode == EXIT_CODE, killed.output()
    assert depth(moving, new) < 300
    moved(moving, "--from", old)
    moving.start_worker()
    moving.wait_for(job_ids, Status.SUCCEEDED)
    moving.check_invariant(job_ids)


class Poster:
    """Somebody who hands in jobs of every kind all the time, at whatever port the API has just now."""

    def __init__(self, own: OwnYard) -> None:
        self.accepted: list[str] = []
        self._own, self._stopping = own, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @contextmanager
    def posting(self) -> Iterator[None]:
        self._thread.start()
        yield
        self._stopping.set()
        self._thread.join(10)

    def wait_for_more(self, how_many: int = 20) -> None:
        wanted = len(self.accepted) + how_many
        self._own.wait_until(lambda: len(self.accepted) >= wanted, 30, "more to be handed in")

    def post_many(self, how_many: int, port: int) -> None:
        """Hand in more at once than two threads do in some seconds."""
        url = f"http://127.0.0.1:{port}/v1/tasks/bad.deed/jobs/bulk"
        order = {"then": "sleep", "seconds": 0.3, "journal": str(self._own.journal)}
        self.accepted += httpx.post(url, json=[order] * how_many, timeout=5).json()["ids"]

    def _run(self) -> None:
        journal = str(self._own.journal)
        orders: Iterator[tuple[dict[str, Any], dict[str, str]]] = cycle(
            [
                ({"then": "return"}, {}),
                ({"then": "sleep", "seconds": 0.5}, {}),
                ({"then": "fail_once"}, {"max_attempts": "2"}),
                ({"then": "return"}, {"delay": "1"}),
                ({"then": "return"}, {"queue": "email", "priority": "9"}),
            ]
        )
        while not self._stopping.wait(0.02):
            order, query = next(orders)
            url = f"http://127.0.0.1:{self._own.port('API')}/v1/tasks/bad.deed/jobs"
            try:
                answer = httpx.post(url, params=query, json={**order, "journal": journal}, timeout=5)
            except httpx.TransportError:
                sleep(0.1)  # between two APIs
                continue
            assert answer.status_code == 202, answer.text
            self.accepted.append(answer.json()["id"])


def move_house(
    own: OwnYard, poster: Poster, old_ones: list[Program], old: str, new: str, is_drained: bool
) -> list[Program]:
    """Move a yard that works as `docs/operations.md` says; return the processes of the new broker."""
    worker, api, beat = old_ones
    old_port = own.port("API")
    settle_at(own, new)
    new_ones = [own.start_worker(concurrency=2), own.start_api(), start_beat(own)]
    beat.stop()
    own.wait_until(lambda: is_leading(new_ones[2]), 30, "the new beat to lead")
    poster.post_many(60, old_port)  # only now, so that something is left for the move
    api.stop()
    if is_drained:
        command = own.start("move", "jobyard", "move-broker", "--from", old, "--drain", "--empty")
        own.wait_until(lambda: "stop its workers now" in command.output(), 60, "the old broker to be empty")
        worker.stop()
        own.wait_until(lambda: command.process.poll() is not None, 60, "the command to end")
        assert command.process.returncode == 0, command.output()
    else:
        worker.stop()
        assert depth(own, old) > 0, "nothing was left to be moved"
        moved(own, "--from", old, "--empty")
    return new_ones


def test_a_yard_under_load_moves_there_drained_and_back_undrained(moving: OwnYard, another: Guarded) -> None:
    home = embedded(moving)
    settle_at(moving, home)
    programs = [moving.start_worker(concurrency=2), moving.start_api(), start_beat(moving)]
    poster = Poster(moving)
    with poster.posting():
        poster.wait_for_more()
        there = another.url()
        for old, new, is_drained in ((home, there, True), (there, home, False)):
            programs = move_house(moving, poster, programs, old, new, is_drained)
            poster.wait_for_more()
    moving.wait_for(poster.accepted, Status.SUCCEEDED, 60)
    moving.check_invariant(poster.accepted)
    assert [job.lost for job in moving.jobs(poster.accepted)] == [0] * len(poster.accepted)
    made_before = len(ticks(moving))
    make_due(home)
    moving.wait_until(lambda: len(ticks(moving)) > made_before, 30, "a tick")


def test_what_cannot_be_moved_is_said_and_nothing_is_touched(moving: OwnYard) -> None:
    job_ids = queue_up(moving, 10)
    before = [job.published_at for job in moving.jobs(job_ids)]
    here, dead = embedded(moving), f"redis://:s3cret@127.0.0.1:{free_port()}/0"
    same = here.replace("127.0.0.1", "localhost").removesuffix("/0")
    for old, options, words in (
        (same, (), "the old broker is the one of JOBYARD_BROKER__URL"),
        ("kafka://s3cret@x", (), "FROM (--from): the URL must begin with one of redis://"),
        ("amqp://ada:s3/cret@x", (), "FROM (--from): the port must be a number"),
        (dead, ("--drain",), "no server listens at"),
        (dead, ("--empty",), "Nothing was moved"),
    ):
        assert words in moved(moving, "--from", old, *options, code=1)
    assert "need the old broker" in moved(moving, "--drain", code=2)
    settle_at(moving, dead)
    assert "JOBYARD_BROKER__URL: no server listens at" in moved(moving, "--from", here, code=1)
    assert [job.published_at for job in moving.jobs(job_ids)] == before


def test_an_old_broker_that_is_gone_for_good_is_not_needed(moving: OwnYard) -> None:
    job_ids = queue_up(moving, 10)
    gone = f"amqp://ada:s3cret@127.0.0.1:{free_port()}/"
    moving.broker.forget_everything()
    moving.start_worker()
    assert "the old broker is not asked: no server listens" in moved(moving, "--from", gone)
    moving.wait_for(job_ids, Status.SUCCEEDED)
    assert "published again: 0\n" in moved(moving)
