"""Calls on an attempt thread: interrupted at any moment, and under a debugger or a profiler."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from jobyard.worker.execution.attempt_thread import get_attempt_thread
from jobyard.worker.execution.interruptions import AttemptStopped


def test_calls_follow_each_other() -> None:
    sequence = get_attempt_thread().start([lambda: 1, lambda: 2])
    assert sequence.changed.wait(5)
    assert [call.value for call in sequence.calls] == [1, 2]
    assert all(call.began <= call.ended for call in sequence.calls if call.began and call.ended)


@pytest.fixture
def _threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.00001)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_threads_take_turns_often")
def test_an_interruption_hits_its_own_call_or_none() -> None:
    def spin() -> int:
        until = monotonic() + 0.0005
        while monotonic() < until:
            pass
        return 1

    hit = 0
    for round_number in range(400):
        is_running = threading.Event()

        def first(is_running: threading.Event = is_running) -> int:
            is_running.set()
            return spin()

        sequence = get_attempt_thread().start([first, spin, spin])
        is_running.wait(5)
        until = monotonic() + round_number % 20 * 0.00005
        while monotonic() < until:
            pass
        sequence.calls[0].interrupt(AttemptStopped("now"))
        assert sequence.changed.wait(5)
        hit += isinstance(sequence.calls[0].error, AttemptStopped)
        assert [(call.value, call.error) for call in sequence.calls[1:]] == [(1, None)] * 2
    assert 0 < hit < 400  # some came while it ran, others when it was over


@pytest.mark.parametrize("watch", ["setprofile", "settrace"])
def test_calls_end_under_a_debugger_a_profiler_or_coverage(watch: str) -> None:
    code = f"""if True:
        import threading
        from time import sleep
        from jobyard.worker.execution.attempt_thread import get_attempt_thread
        from jobyard.worker.execution.interruptions import AttemptStopped

        def watch(*_):
            return watch

        def interrupted():
            while True:
                sleep(0.001)

        threading.{watch}(watch)
        sequence = get_attempt_thread().start([lambda: 1, interrupted, lambda: 2])
        while sequence.calls[1].began is None:
            sleep(0.001)
        sequence.calls[1].interrupt(AttemptStopped("now"))
        assert sequence.changed.wait(10)
        print([call.value for call in sequence.calls])
    """
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.stdout, ended.returncode) == ("[1, None, 2]\n", 0), ended.stderr
