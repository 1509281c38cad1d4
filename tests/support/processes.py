"""Real processes of a yard in a folder and on ports of its own."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from time import monotonic
from typing import Final

import psutil

from jobyard.settings import Settings
from jobyard.settings.sections import ValkeySettings
from tests.support.children import start_child
from tests.support.waiting import wait_until

ALL_QUEUES = "default,email,collect,images"
ROOT = Path(__file__).parents[2]
# Packages that only our tools bring along, and that structlog and Celery would load wherever they find them.
LEAN = Path(__file__).parent / "as_in_production"

# A range for each of the processes that share the tests, below those that the system gives to callers.
_PORTS_EACH = 1500
_ports = cycle((os.getpid() + offset) % _PORTS_EACH for offset in range(_PORTS_EACH))
_first_port = 12000 + _PORTS_EACH * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def free_port() -> int:
    """Return a port that nobody listens on, and that was not given out in a long while."""
    for offset in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", _first_port + offset))
            return _first_port + offset
    raise AssertionError("unreachable: a cycle has no end")


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


def lives(process: psutil.Process) -> bool:
    """Tell whether a process does anything still; whoever adopts a dead one may take a moment to notice."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


TASK_MODULES: Final = (
    "tests.support.bad_tasks",
    "tests.support.celery_style_tasks",
    "tests.support.odd_names",
)


@dataclass
class Program:
    """A started process with everything it wrote."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def kill(self, with_signal: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the process and all its children, and wait for its end when it is a KILL."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, with_signal)
            if with_signal is signal.SIGKILL:
                self.process.wait(10)

    def stop(self, seconds: float = 20) -> int:
        """End the process as an operator would; return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop within {seconds} s:\n{self.output()}") from None

    def output(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class YardProcesses:
    """A yard's environment, and the programs that were started in it."""

    home: Path
    settings: dict[str, str] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)  # what is no setting

    def __post_init__(self) -> None:
        ports = {name: str(free_port()) for name in ("VALKEY", "API", "FLOWER", "MAILBOX")}
        self.settings = {
            "JOBYARD_HOME": str(self.home),
            "JOBYARD_ENV_FILE": "",  # what stands in a developer's .env is no business of a test's
            "JOBYARD_TASKS__MODULES": ",".join(TASK_MODULES),
            **{f"JOBYARD_{name}__PORT": port for name, port in ports.items()},
        } | self.settings

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("JOBYARD_")}
        path = os.pathsep.join([str(LEAN), str(ROOT), *filter(None, [self.extra.get("PYTHONPATH")])])
        return inherited | self.settings | self.extra | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}

    def port(self, name: str) -> int:
        return int(self.settings[f"JOBYARD_{name}__PORT"])

    @property
    def valkey_url(self) -> str:
        """The embedded Valkey's URL, with the password that is generated for it."""
        return Settings(home=self.home, valkey=ValkeySettings(port=self.port("VALKEY"))).embedded_redis_url

    def run(self, *arguments: str, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a Python module to its end."""
        return self._run("-m", *arguments, seconds=seconds)

    def run_code(self, code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run some Python to its end."""
        return self._run("-c", code, *arguments)

    def _run(self, *arguments: str, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def start(self, name: str, *arguments: str) -> Program:
        """Start a Python module in a process group of its own."""
        return self.start_command(name, sys.executable, "-m", *arguments)

    def start_command(self, name: str, *command: str) -> Program:
        log = self.home / f"{name}-{len(self.programs)}.log"
        with log.open("wb") as sink:
            process = start_child(
                command, env=self.environment, cwd=ROOT, stdout=sink, stderr=subprocess.STDOUT
            )
        program = Program(name, process, log)
        self.programs.append(program)
        return program

    def start_valkey(self) -> Program:
        valkey = self.start("valkey", "jobyard.local.valkey")
        wait_until(lambda: answers(self.port("VALKEY")), 20, "Valkey to answer")
        return valkey

    def worker_command(self, pool: str, concurrency: int, queues: str = ALL_QUEUES) -> list[str]:
        """Return what `python -m` runs for a worker."""
        return [
            *("celery", "-q", "-A", "tasks.app", "worker", "-P", pool, "-c", str(concurrency), "-Q", queues),
            *("-n", f"{pool}{len(self.programs)}@%h", "--without-gossip", "--without-mingle"),
        ]

    def start_worker(self, pool: str = "threads", concurrency: int = 4, queues: str = ALL_QUEUES) -> Program:
        worker = self.start(f"worker-{pool}", *self.worker_command(pool, concurrency, queues))
        wait_until(lambda: " ready." in worker.output() or worker.process.poll() is not None, 40, "a worker")
        assert worker.process.poll() is None, worker.output()
        return worker

    def start_api(self) -> Program:
        api = self.start("api", "api")
        wait_until(
            lambda: answers(self.port("API")) or api.process.poll() is not None, 40, "the API to answer"
        )
        assert api.process.poll() is None, api.output()
        return api

    def kill_everything(self) -> None:
        for program in self.programs:
            program.kill()

    def stop_everything(self) -> None:
        """End what still runs, the broker last, so that nobody's last words are about its absence."""
        began = monotonic()
        for program in sorted(self.programs, key=lambda program: program.name == "valkey"):
            if program.process.poll() is None:
                program.stop(max(5.0, 20 - (monotonic() - began)))
