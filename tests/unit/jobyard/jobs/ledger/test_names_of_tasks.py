"""Both ledgers keep a task's name as it is, whatever it is."""

from jobyard.jobs.job import NewJob, Succeeded, Verdict, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.declared_tasks import DeclaredTask, declare_tasks
from jobyard.jobs.reading.job_filter import JobFilter
from jobyard.jobs.reading.job_queries import get_job
from jobyard.jobs.reading.run_times import known_run_times, note_run_times
from jobyard.jobs.reading.search import list_jobs
from tests.support.odd_names import NAMES


def test_a_job_of_each_is_accepted_found_and_ended(own_ledger: Ledger) -> None:
    database = own_ledger.database
    declare_tasks(database, [DeclaredTask(name, name, "default", 4, 1) for name in NAMES])
    jobs = {name: NewJob(new_id(), name, "{}", max_attempts=1, unique_key="k") for name in NAMES}
    accepted = own_ledger.accept(list(jobs.values()))
    assert {acceptance.verdict for acceptance in accepted} == {Verdict.NEW}

    for name, job in jobs.items():
        assert [found.id for found in list_jobs(database, JobFilter(task=name), 10).jobs] == [job.id]
        [claimed] = own_ledger.claim([job.id], "w")
        assert claimed.task == name
        own_ledger.settle([Succeeded(job.id, 1, "null")])
        assert get_job(database, job.id).task == name
    note_run_times(database, dict.fromkeys(NAMES, 1.0))
    assert known_run_times(database).keys() == set(NAMES)
