"""Ends the processes of a program that was killed, on every system, whatever programs they are.

The guard is a small process of its own. The program keeps the only writing end of the guard's standard input,
and writes there which of its processes live. The kernel closes that pipe when the program ends, however it
ends; the guard then stops the processes that are left, and ends.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic, sleep
from typing import Any


class Guard:
    """The program's end of the pipe. Processes have `grace_seconds` to end before they are killed."""

    def __init__(self, grace_seconds: float) -> None:
        self._processes: list[subprocess.Popen[Any]] = []
        # Isolated and without site-packages, which keeps it small; in a session of its own, which a Ctrl-C
        # does not reach.
        command = [sys.executable, "-I", "-S", __file__, str(grace_seconds)]
        self._guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def add(self, process: "subprocess.Popen[Any]") -> None:
        """Guard a process, and whatever is in the process group of its id."""
        self._processes.append(process)
        self._report_living()

    def living(self) -> list[int]:
        """Return the ids of the guarded processes; another process may get the id of one that has ended."""
        self._processes = [process for process in self._processes if process.poll() is None]
        return [process.pid for process in self._processes]

    def close(self) -> None:
        """End the guard; processes that still live are ended, too."""
        self._report_living()
        self._guard.communicate()

    def _report_living(self) -> None:
        assert self._guard.stdin is not None
        with suppress(OSError):  # where the guard was killed as well
            self._guard.stdin.write(" ".join(map(str, self.living())).encode() + b"\n")
            self._guard.stdin.flush()


def end_processes(process_ids: Iterable[int], grace_seconds: float) -> None:
    """Send SIGTERM to processes, and SIGKILL to their groups once they have ended or the time is over."""
    process_ids = list(process_ids)
    deadline = monotonic() + grace_seconds
    for process_id in process_ids:
        _signal(os.kill, process_id, signal.SIGTERM)
    while monotonic() < deadline and any(_signal(os.kill, process_id, 0) for process_id in process_ids):
        sleep(0.05)
    for process_id in process_ids:
        _signal(os.kill, process_id, signal.SIGKILL)
        _signal(os.killpg, process_id, signal.SIGKILL)


def _signal(send: Callable[[int, int], None], number: int, signal_number: int) -> bool:
    try:
        send(number, signal_number)
    except OSError:
        return False
    return True


def main() -> None:
    living = ""
    for line in sys.stdin:
        living = line
    end_processes(map(int, living.split()), float(sys.argv[1]))


if __name__ == "__main__":
    main()
