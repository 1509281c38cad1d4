"""`make soak`: a yard under load and random faults, and whether everything that it accepted came to an end.

The faults come from a seed, which is printed, so that a run can be had again (as far as processors allow).
"""

import argparse
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import httpx

from jobyard.jobs.job import Status
from jobyard.jobs.ledger.fault_counters import FaultKind
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.search import list_jobs
from tests.support.broker import RABBITMQ, REDIS, Broker
from tests.support.own_yard import QUICK, OwnYard
from tests.support.processes import Program
from tests.support.rabbitmq_broker import RabbitMQBroker
from tests.support.rabbitmq_node import RabbitMQNode
from tests.support.waiting import wait_until

KINDS = ("return", "return", "return", "sleep", "fail_once", "fail", "later", "raise", "block", "discard")
POSTS_PER_SECOND = 25
LONGEST_END_SECONDS = 180


class Load(threading.Thread):
    """Hands jobs in over HTTP, and remembers every id that was answered with 202."""

    def __init__(self, own: OwnYard, dice: random.Random) -> None:
        super().__init__(daemon=True)
        self._own, self._dice = own, dice
        self.accepted: list[str] = []
        self.refused = 0
        self.is_stopping = threading.Event()

    def run(self) -> None:
        url = f"http://127.0.0.1:{self._own.port('API')}/v1/tasks/bad.deed/jobs"
        with httpx.Client(timeout=5) as client:
            while not self.is_stopping.wait(1 / POSTS_PER_SECOND):
                self._post(client, url)

    def _post(self, client: httpx.Client, url: str) -> None:
        order = {"then": self._dice.choice(KINDS), "seconds": 0.2, "journal": str(self._own.journal)}
        query = {"priority": str(self._dice.randrange(10)), "delay": str(self._dice.choice((0, 0, 0, 1, 3)))}
        try:
            answer = client.post(url, json=order, params=query)
        except httpx.HTTPError:
            self.refused += 1  # nobody was told that it is accepted
        else:
            if answer.status_code == 202:
                self.accepted.append(answer.json()["id"])
            else:
                self.refused += 1


class Soak:
    """The yard, its programs by role, and what can happen to them."""

    def __init__(self, own: OwnYard, dice: random.Random) -> None:
        self._own, self._dice = own, dice
        self._broker = own.broker
        self._broker.start()
        self._starters: dict[str, Callable[[], Program]] = {
            # What is live is in Redis, whatever the broker is.
            **({} if own.broker.name == REDIS else {"valkey": own.start_valkey}),
            "worker-a": lambda: own.start_worker("threads", 8),
            "worker-b": lambda: own.start_worker("threads", 8),
            "worker-c": lambda: own.start_worker("prefork", 2),
            "api": own.start_api,
            "beat": lambda: own.start("beat", "celery", "-q", "-A", "tasks.app", "beat"),
        }
        self._running = {role: start() for role, start in self._starters.items()}
        self.done: Counter[str] = Counter()

    def bring_back_the_dead(self) -> None:
        """Start again what has ended, as a supervisor would."""
        if self._broker.process_id is None:
            self._broker.start()
        for role, program in self._running.items():
            if program.process.poll() is not None:
                self._running[role] = self._starters[role]()

    def is_over(self) -> bool:
        """Tell whether nothing moves any more, and see to it that something can."""
        self.bring_back_the_dead()
        statuses = [status for status in Status if not status.is_final]
        return not list_jobs(self._own.ledger.database, JobFilter(status=statuses, task="bad.deed"), 1).jobs

    def one_fault(self) -> None:
        faults = [self.kill, self.terminate, self.freeze, self.forget, self.silence, self.reset, self.fill_up]
        fault = self._dice.choice(faults)
        self.done[fault.__name__] += 1
        print(f"{time.strftime('%H:%M:%S')} {fault.__name__}", flush=True)
        fault()

    def kill(self) -> None:
        killable: list[Broker | Program] = [self._broker, *self._running.values()]
        self._dice.choice(killable).kill()

    def terminate(self) -> None:
        self._running[self._dice.choice(["worker-a", "worker-b", "worker-c", "api"])].process.terminate()

    def freeze(self) -> None:
        worker = self._running[self._dice.choice(["worker-a", "worker-b", "worker-c"])]
        worker.kill(signal.SIGSTOP)
        time.sleep(7)  # two leases
        worker.kill(signal.SIGCONT)

    def forget(self) -> None:
        self._broker.forget_everything()

    def silence(self) -> None:
        self._broker.kill(signal.SIGSTOP)
        time.sleep(4)
        self._broker.kill(signal.SIGCONT)

    def reset(self) -> None:
        self._broker.reset_connections()

    def fill_up(self) -> None:
        self._broker.fill_up()
        time.sleep(4)
        self._broker.relieve()

    def memory_mib(self) -> dict[str, int]:
        processes = {role: program.process.pid for role, program in self._running.items()}
        if broker := self._broker.process_id:
            processes["broker"] = broker
        return {role: resident_mib(process_id) for role, process_id in processes.items()}

    def descriptors(self) -> int:
        folders = (Path(f"/proc/{program.process.pid}/fd") for program in self._running.values())
        return sum(len(list(folder.iterdir())) for folder in folders)


def resident_mib(process_id: int) -> int:
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def report(own: OwnYard, load: Load, soak: Soak) -> bool:
    """Print what became of everything; return whether nothing was lost."""
    ends = Counter(own.job(job_id).status.value for job_id in load.accepted)
    lost = sum(number for status, number in ends.items() if not Status(status).is_final)
    runs = own.runs()
    succeeded = {job_id for job_id in load.accepted if own.job(job_id).status is Status.SUCCEEDED}
    without_effect = len(succeeded - {job_id for job_id, _ in runs})
    same_attempt_twice = len(runs) - len(set(runs))
    print(f"\nfaults          {dict(soak.done)}")
    print(f"accepted        {len(load.accepted)} (refused or unanswered: {load.refused})")
    print(f"ended           {dict(ends)}")
    print(f"LOST            {lost}")
    print(f"no effect       {without_effect} of the succeeded")
    print(f"same attempt twice {same_attempt_twice}")
    print(f"run again after a loss {own.fault_count(FaultKind.LOST_WORKER)}")
    print(f"late writes refused    {own.fault_count(FaultKind.LATE_RESULT)}")
    print(f"memory (MiB)    {soak.memory_mib()}")
    print(f"descriptors     {soak.descriptors()}")
    print(f"kept by the broker {own.broker.names()}")
    return lost == without_effect == same_attempt_twice == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--broker", choices=(REDIS, RABBITMQ), default=REDIS)
    wanted = parser.parse_args()
    print(f"seed {wanted.seed}, {wanted.minutes} minutes, {wanted.broker}")
    home = Path(mkdtemp(prefix="jobyard-soak-"))
    own, node = OwnYard(home, dict(QUICK)), None
    if wanted.broker == RABBITMQ:
        (home / "rabbitmq").mkdir()
        node = RabbitMQNode(home / "rabbitmq")
        own.use(RabbitMQBroker(node))
    dice = random.Random(wanted.seed)
    own.ledger.database.engine.connect().close()
    try:
        soak, load = Soak(own, dice), Load(own, random.Random(wanted.seed))
        load.start()
        until = time.monotonic() + wanted.minutes * 60
        measure_at = time.monotonic() + 60
        while time.monotonic() < until:
            time.sleep(dice.uniform(1, 8))
            soak.bring_back_the_dead()
            soak.one_fault()
            soak.bring_back_the_dead()
            if time.monotonic() > measure_at:
                print(f"memory (MiB) {soak.memory_mib()}, descriptors {soak.descriptors()}", flush=True)
                measure_at += 300
        load.is_stopping.set()
        load.join(10)
        wait_until(soak.is_over, LONGEST_END_SECONDS, "every job to end")
        is_well = report(own, load, soak)
    finally:
        own.kill_everything()
        own.broker.close()
        if node:
            node.close()
        own.ledger.database.close()
    sys.exit(0 if is_well else 1)


if __name__ == "__main__":
    os.environ.setdefault("JOBYARD_LOG__LEVEL", "INFO")
    main()
