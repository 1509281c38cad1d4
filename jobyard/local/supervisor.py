"""Starts the processes of a plan, prints their output, and stops them together.

It imports only the standard library, because it stays in memory as long as they run: `jobyard/local/plan.py`
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
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from jobyard.local.guard import Guard
from jobyard.local.left_over import open_process_file, write_process_id

# The longest that a process may take to stop: more than a worker needs for its grace (3 s here), for handing
# back (5 s), and for its last log lines.
LONGEST_STOP_SECONDS: Final = 12.0
# The longest wait for the embedded broker, which may have a large file to load.
LONGEST_BROKER_START_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.5
COLOURS: Final = (36, 33, 32, 35, 34, 31, 96, 93, 92, 95)


class Process:
    """A process of the plan, in a session of its own, and its output."""

    def __init__(self, planned: dict[str, Any], environment: dict[str, str], folder: Path) -> None:
        self.name: str = planned["name"]
        self.reloads: bool = planned.get("reloads", False)
        process_file = open_process_file(folder, self.name)
        self.popen = subprocess.Popen(
            planned["command"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | environment | planned.get("environment", {}),
            start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops the processes in order
            pass_fds=[process_file],
        )
        write_process_id(process_file, self.popen.pid)
        assert self.popen.stdout is not None
        self.output = self.popen.stdout
        os.set_blocking(self.output.fileno(), False)
        self._partial_line = b""

    def read_lines(self) -> list[str] | None:
        """Return the lines since the last call, and None once the output has ended."""
        output = self.output.read()
        if output == b"":
            last_line, self._partial_line = self._partial_line, b""
            return [last_line.decode(errors="replace")] if last_line else None
        *lines, self._partial_line = (self._partial_line + (output or b"")).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def returncode(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        return self.popen.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process; SIGKILL goes to all that it has started, too."""
        if self.popen.poll() is not None:
            return
        if number is signal.SIGKILL:
            os.killpg(self.popen.pid, number)
        else:
            self.popen.send_signal(number)


class Supervisor:
    """Runs the processes until one ends unexpectedly, `stop` is called, or the parent of a given id ends."""

    def __init__(self, plan: dict[str, Any], parent_id: int | None = None) -> None:
        self._plan, self._parent_id = plan, parent_id
        self._guard = Guard(LONGEST_STOP_SECONDS)
        self._running: dict[str, Process] = {}
        self._selector = selectors.DefaultSelector()
        self._width = max(len(planned["name"]) for planned in plan["processes"])
        self._names: list[str] = []
        self._is_stopping = False

    def run(self) -> int:
        """Start every process, and return the exit code once all have ended."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop())
        code = self._start_all()
        if code is None:
            code = self._watch()
        self._stop_all()
        self._guard.close()
        return code

    def stop(self) -> None:
        """Make `run` stop every process and return."""
        self._is_stopping = True

    def _start_all(self) -> int | None:
        for planned in self._plan["processes"]:
            self.start(planned)
            if planned["name"] == self._plan["broker"] and not self._wait_for_port(planned):
                self.print_line(
                    "supervisor", "the embedded broker does not answer; its log lines above say why"
                )
                return 1
        self.start({"name": "welcome", "command": self._plan["welcome"]})
        return None

    def start(self, planned: dict[str, Any]) -> None:
        """Start one process."""
        process = Process(planned, self._plan["environment"], Path(self._plan["running"]))
        self._guard.add(process.popen)
        self._running[process.name] = process
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
            self._print_output(POLL_SECONDS)
            self.on_poll()
            if self._parent_id not in (None, os.getppid()):
                self.print_line("supervisor", "the process that started this one has ended")
                return 1
            for name, process in list(self._running.items()):
                if (code := process.returncode()) is not None:
                    del self._running[name]
                    self._drain(process)
                    if (name, code) != ("welcome", 0) and not self.on_ended(name, code):
                        return code or 1
        return 0

    def on_poll(self) -> None:
        """Do nothing; `jobyard/local/reload.py` overrides it."""

    def restart(self, planned_processes: Sequence[dict[str, Any]]) -> None:
        """Stop the processes that reload, and start the planned ones."""
        old = [process for process in self._running.values() if process.reloads]
        for process in old:
            del self._running[process.name]
        self.stop_processes(old)
        for planned in planned_processes:
            self.start(planned)

    def on_ended(self, name: str, code: int) -> bool:
        """Print that a process has ended; return whether the others go on."""
        self.print_line(
            "supervisor",
            f"{name} has ended (code {code}): every process is stopped; start again, and no job is lost",
        )
        return False

    def _stop_all(self) -> None:
        # A running job may need the application's own processes (a mail server), and all need the broker.
        processes = list(self._running.values())
        brokers = [process for process in processes if process.name == self._plan["broker"]]
        servers = [process for process in processes if process not in brokers and not process.reloads]
        for group in ([process for process in processes if process.reloads], servers, brokers):
            self.stop_processes(group)

    def stop_processes(self, processes: Sequence[Process]) -> None:
        """Send SIGTERM to processes, wait, and kill those that have not ended."""
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
            if (lines := process.read_lines()) is None:
                self._selector.unregister(process.output)
            for line in lines or ():
                self.print_line(process.name, line)

    def _drain(self, process: Process) -> None:
        while (lines := process.read_lines()) and lines is not None:
            for line in lines:
                self.print_line(process.name, line)
        if process.output in {key.fileobj for key in self._selector.get_map().values()}:
            self._selector.unregister(process.output)
        process.output.close()

    def print_line(self, name: str, line: str) -> None:
        """Print a line of a process with the time and its name."""
        if name not in self._names:
            self._names.append(name)
        prefix = f"{datetime.now():%H:%M:%S} {name.ljust(self._width)} | "
        if sys.stdout.isatty():
            prefix = f"\033[{COLOURS[self._names.index(name) % len(COLOURS)]}m{prefix}\033[0m"
        print(f"{prefix}{line}", flush=True)


def read_plan(*options: str) -> dict[str, Any] | None:
    """Return the plan, or None if its process has printed why nothing can start."""
    read, write = os.pipe()
    with os.fdopen(read) as pipe:
        command = [sys.executable, "-m", "jobyard.local.plan", str(write), *options]
        process = subprocess.Popen(command, pass_fds=[write])
        os.close(write)
        text = pipe.read()
    return json.loads(text) if process.wait() == 0 else None
