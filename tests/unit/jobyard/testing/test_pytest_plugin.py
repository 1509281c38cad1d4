"""The fixtures for people who test tasks of their own, as pytest finds them where Jobyard is installed."""

import os

import pytest

pytest_plugins = ["pytester"]

TASKS = """
    import asyncio, threading, time
    from datetime import timedelta
    import jobyard, pytest
    from jobyard import Discard, RetryLater, current_job

    @jobyard.task("own.add")
    def add(x: int, y: int = 1) -> int:
        return x + y

    @jobyard.task("own.fails")
    def fails() -> None:
        raise ValueError("its own")

    @jobyard.task("own.again")
    def again() -> int:
        if current_job().attempt < 3:
            raise RetryLater(timedelta(milliseconds=1), "not yet")
        return current_job().attempt

    @jobyard.task("own.asks")
    async def asks(n: int) -> int:
        await asyncio.sleep(0.01)
        await add.delay_async(n)
        return n

    @jobyard.task("own.sleeps", soft_time_limit=0.2)
    def sleeps() -> None:
        while True:
            time.sleep(0.01)
"""


@pytest.fixture(autouse=True)
def _own_project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("JOBYARD_")]:
        monkeypatch.delenv(name)
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = -p no:randomly -p no:schemathesis")


def test_jobs_run_inline(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        TASKS
        + """
    def test_value(jobyard_inline):
        threads = threading.active_count()
        assert add.delay(1).get() == 2
        assert again.delay().get() == 3
        assert asks.delay(5).get() == 5
        fails.delay()
        assert [job.task for job in jobyard_inline.all()] == [
            "own.add", "own.again", "own.asks", "own.add", "own.fails"
        ]
        assert [job.failure.message for job in jobyard_inline.dead()] == ["its own"]
        assert threading.active_count() == threads

    def test_each_test_has_a_ledger_of_its_own(jobyard_inline):
        assert jobyard_inline.all() == []

    class TestPropagating:
        @pytest.fixture
        def jobyard_eager_propagates(self):
            return True

        def test_error(self, jobyard_inline):
            with pytest.raises(ValueError, match="its own"):
                fails.delay()
    """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=3)
    assert not list(pytester.path.glob("var*"))


def test_jobs_run_in_a_worker(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        TASKS
        + """
    def test_value(jobyard_worker, tmp_path):
        handles = add.submit_many([add.payload(n) for n in range(20)])
        assert [handle.get(10) for handle in handles] == list(range(1, 21))
        assert again.delay().get(10) == 3
        assert asks.delay(5).get(10) == 5
        assert add.options(delay=timedelta(milliseconds=100)).delay(1).get(10) == 2
        for failing, words in ((fails.delay(), "its own"), (sleeps.delay(), "limit of 0.2 s")):
            with pytest.raises(jobyard.JobFailedError, match=words):
                failing.get(10)
        assert len(jobyard_worker.dead()) == 2
        assert (tmp_path / "jobyard" / "jobyard.db").exists()

    def test_nothing_is_left_of_another_test(jobyard_worker):
        assert jobyard_worker.all() == []
        names = {thread.name for thread in threading.enumerate()}
        assert len([name for name in names if name.startswith("testing")]) == 4
        assert "leases" not in names
    """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_a_run_without_them_loads_nothing_of_the_engine(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
    import sys

    def test_modules():
        assert not [name for name in sys.modules if name.startswith(("sqlalchemy", "celery", "jobyard.jobs"))]
    """
    )
    pytester.runpytest_subprocess("-p", "no:celery", "-p", "no:pytest-celery").assert_outcomes(passed=1)
