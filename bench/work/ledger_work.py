"""What a yard asks of its ledger: groups of jobs accepted, then claimed, then settled, one after another."""

from dataclasses import dataclass
from time import perf_counter

from bench.tools.fill import payload_text
from jobyard.jobs.job import NewJob, Succeeded, new_id
from jobyard.jobs.ledger import Ledger

WORKER = "bench@host/1"


@dataclass(frozen=True)
class Rates:
    """Jobs a second."""

    accept: float
    claim: float
    settle: float


def measure(ledger: Ledger, groups: int, size: int) -> Rates:
    """Take `groups` groups of `size` jobs from acceptance to their end, in one thread."""
    ids, attempts = [], []
    new = [[_new_job(number) for number in range(size)] for _ in range(groups)]
    began = perf_counter()
    for group in new:
        ids.append([acceptance.job_id for acceptance in ledger.accept(group)])
    accepted = perf_counter()
    for group_ids in ids:
        attempts.append([(job.id, job.attempt) for job in ledger.claim(group_ids, WORKER)])
    claimed = perf_counter()
    for held in attempts:
        counted = ledger.settle([Succeeded(job_id, attempt, '"done"') for job_id, attempt in held])
        assert len(counted) == size, "an outcome was refused"
    settled = perf_counter()
    jobs = groups * size
    return Rates(jobs / (accepted - began), jobs / (claimed - accepted), jobs / (settled - claimed))


def _new_job(number: int) -> NewJob:
    return NewJob(id=new_id(), task="bench.noop", payload=payload_text(number), max_attempts=3)
