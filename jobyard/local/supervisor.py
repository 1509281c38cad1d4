"""Starts the processes of a plan, prints what they say, and ends them all together.

It imports the standard library alone, because it stays for as long as they do: `jobyard/local/plan.py`
decides what to start, in a process that ends.
"""

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from time import monotonic, sleep
from typing import Any, Final

# More than a worker needs for its grace (3 s here), for handing back (5 s), and for its last words.
LONGEST_STOP_SECONDS: Final = 12.0
# An embedded broker that has much to read back from its file.
LONGEST_BROKER_START_SECONDS: Final = 30.0
LOOK_AGAIN_SECONDS: Final = 0.5
COLOURS: Final = (36, 33, 32, 35, 34, 31, 96, 93, 92, 95)


class Process:
    """One process of the plan, in a session of its own, with its output."""

    def __init__(self, planned: dict[str, Any], environment: dict[str, str]) -> None:
        self.name, self.planned = planned["name"], planned
        self._popen = subprocess.Popen(
            planned["command"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | environment | planned.get("environment", {}),
            start_new_session=True,  # a Ctrl-C is for the supervisor, which ends them in order
            preexec_fn=_end_with_supervisor,
        )
        assert self._popen.stdout is not None
        self.output = self._popen.stdout
        os.set_blocking(self.output.fileno(), False)
        self._rest = b""

    def lines(self) -> list[str] | None:
        """Return what it has said since the last time, and None once it says no more."""
        said = self.output.read()
        if said == b"":
            rest, self._rest = self._rest, b""
            return [rest.decode(errors="replace")] if rest else None
        *whole, self._rest = (self._rest + (said or b"")).split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def returncode(self) -> int | None:
        """Return its exit code, and None while it runs."""
        return self._popen.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, or where it is a KILL, to all that it has started."""
        if self._popen.poll() is not None:
            return
        if number is signal.SIGKILL:
            os.killpg(self._popen.pid, number)
        else:
            self._popen.send_signal(number)


def _end_with_supervisor() -> None:
    # Where the supervisor is killed, no process is left behind. prctl(2), 1 is PR_SET_PDEATHSIG.
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Supervisor:
    """Runs until one process ends that should not, or it is told to stop."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._running: dict[str, Process] = {}
        self._selector = selectors.DefaultSelector()
        self._width = max(len(planned["name"]) for planned in plan["processes"])
        self._names: list[str] = []
        self._is_stopping = False

    def run(self) -> int:
        """Start everything, and return the exit code once all of it has ended."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop())
        code = self._start_all()
        if code is None:
            code = self._watch()
        self._end_all()
        return code

    def stop(self) -> None:
        """Let `run` end everything, and return."""
        self._is_stopping = True

    def _start_all(self) -> int | None:
        for planned in self._plan["processes"]:
            self.start(planned)
            if planned["name"] == self._plan["broker"] and not self._wait_for_port(planned):
                self.say("supervisor", "the embedded broker does not answer; its own lines above say why")
                return 1
        self.start({"name": "welcome", "command": self._plan["welcome"]})
        return None

    def start(self, planned: dict[str, Any]) -> None:
        """Start one process."""
        process = self._running[planned["name"]] = Process(planned, self._plan["environment"])
        self._selector.register(process.output, selectors.EVENT_READ, process)

    def _wait_for_port(self, planned: dict[str, Any]) -> bool:
        address = (planned["listener"]["host"], planned["listener"]["port"])
        until = monotonic() + LONGEST_BROKER_START_SECONDS
        while monotonic() < until and not self._is_stopping:
            self._print_output(0.05)
            if self._running[planned["name"]].returncode() is not None:
                return False
            try:
                socket.create_connection(address, timeout=1).close()
                return True
            except OSError:
                sleep(0.05)
        return self._is_stopping

    def _watch(self) -> int:
        while not self._is_stopping:
            self._print_output(LOOK_AGAIN_SECONDS)
            self.on_turn()
            for name, process in list(self._running.items()):
                if (code := process.returncode()) is not None:
                    del self._running[name]
                    self._drain(process)
                    if (name, code) != ("welcome", 0) and not self.on_ended(name, code):
                        return code or 1
        return 0

    def on_turn(self) -> None:
        """Do nothing; `jobyard/local/reload.py` has something to do."""

    def restart(self, wanted: Sequence[dict[str, Any]]) -> None:
        """End those that reload and are not wanted any more or are started again, and start what is
        wanted."""
        old = [process for process in self._running.values() if process.planned.get("reloads")]
        for process in old:
            del self._running[process.name]
        self.end(old)
        for planned in wanted:
            self.start(planned)

    def on_ended(self, name: str, code: int) -> bool:
        """Say that a process has ended; tell whether the others go on."""
        self.say("supervisor", f"{name} has ended (code {code}): everything is stopped")
        return False

    def _end_all(self) -> None:
        broker = self._running.pop(self._plan["broker"], None)
        self.end(list(self._running.values()))
        # The last: the others may still have something to say to it.
        if broker is not None:
            self.end([broker])

    def end(self, processes: Sequence[Process]) -> None:
        """Tell processes to end, wait, and kill those that do not."""
        for process in processes:
            process.signal(signal.SIGTERM)
        until = monotonic() + LONGEST_STOP_SECONDS
        while any(process.returncode() is None for process in processes) and monotonic() < until:
            self._print_output(0.05)
        for process in processes:
            process.signal(signal.SIGKILL)
            while process.returncode() is None:
                sleep(0.01)
            self._drain(process)

    def _print_output(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            process: Process = key.data
            if (lines := process.lines()) is None:
                self._selector.unregister(process.output)
            for line in lines or ():
                self.say(process.name, line)

    def _drain(self, process: Process) -> None:
        while (lines := process.lines()) and lines is not None:
            for line in lines:
                self.say(process.name, line)
        if process.output in {key.fileobj for key in self._selector.get_map().values()}:
            self._selector.unregister(process.output)
        process.output.close()

    def say(self, name: str, line: str) -> None:
        """Print a line with the time and the name of the process that said it."""
        if name not in self._names:
            self._names.append(name)
        prefix = f"{datetime.now():%H:%M:%S} {name.ljust(self._width)} | "
        if sys.stdout.isatty():
            prefix = f"\033[{COLOURS[self._names.index(name) % len(COLOURS)]}m{prefix}\033[0m"
        print(f"{prefix}{line}", flush=True)


def read_plan(*options: str) -> dict[str, Any] | None:
    """Return what is to be started, or None where the plan's process has said why nothing can be."""
    read, write = os.pipe()
    with os.fdopen(read) as answer:
        command = [sys.executable, "-m", "jobyard.local.plan", str(write), *options]
        process = subprocess.Popen(command, pass_fds=[write])
        os.close(write)
        text = answer.read()
    return json.loads(text) if process.wait() == 0 else None
