"""Processes, ports and a folder for one turn of a benchmark; all of it is gone when the turn ends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import NoReturn, TypeVar

import psutil

ROOT = Path(__file__).parents[2]
# Where turns have their folders and figures are kept; a test sends them elsewhere.
RESULTS = Path(os.environ.get("BENCH_RESULTS", ROOT / "bench" / "results"))
LOCAL = "127.0.0.1"
T = TypeVar("T")


class BenchError(RuntimeError):
    """A turn could not be measured; the message says why, with the last words of the process."""


class Machine:
    """Starts processes with one environment, in one folder."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self._logs: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
        # Settings of the shell, or of a .env file in the working directory, must not leak into a turn:
        # so no JOBYARD_ variable is inherited, and the processes work in this folder.
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("JOBYARD_")
        } | {
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }

    def start(self, name: str, command: Sequence[str] | str, extra: Mapping[str, str] | None = None) -> None:
        """Start a process (a string goes through the shell) that is killed, children and all, at the end."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                command,
                shell=isinstance(command, str),
                env=self.environment | dict(extra or {}),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._stack.callback(_kill, process)
        self._logs[name] = process, log

    def enter(self, resource: AbstractContextManager[T]) -> T:
        """Enter something that is left when the turn ends, after the processes that are started later."""
        return self._stack.enter_context(resource)

    def run(self, name: str, *arguments: str, seconds: float = 120) -> None:
        """Run a Python module to its end; raises `BenchError` where that is not a good one."""
        self.start(name, [sys.executable, "-m", *arguments])
        self.wait_for_end(name, seconds)

    def wait_for_end(self, name: str, seconds: float) -> None:
        """Wait for a process that ends by itself; raises `BenchError` where that is not a good end."""
        process, log = self._logs.pop(name)
        self.wait_until(lambda: process.poll() is not None, seconds, f"{name} to end")
        if process.returncode:
            _fail(name, log, process.returncode)

    def check(self) -> None:
        """Raise `BenchError` when a process has ended that should not have."""
        for name, (process, log) in self._logs.items():
            if process.poll() is not None:
                _fail(name, log, process.returncode)

    def wait_until(self, predicate: Callable[[], object], seconds: float, what: str) -> None:
        """Wait for something that these processes do; raises `BenchError`."""
        deadline = monotonic() + seconds
        while not predicate():
            self.check()
            if monotonic() > deadline:
                raise BenchError(f"waited {seconds:.0f} s in vain for {what}")
            sleep(0.05)

    def wait_for_port(self, port: int, what: str) -> None:
        self.wait_until(lambda: _answers(port), 60, f"{what} to answer")

    def processes(self, beginning: str) -> list[psutil.Process]:
        """Return the processes whose names begin so, with all that they have started."""
        found: list[psutil.Process] = []
        for process in (process for name, (process, _) in self._logs.items() if name.startswith(beginning)):
            with suppress(psutil.NoSuchProcess):
                parent = psutil.Process(process.pid)
                found += [parent, *parent.children(recursive=True)]
        return found

    def resident_bytes(self, beginning: str) -> int:
        """Return what these processes hold in memory now."""
        total = 0
        for process in self.processes(beginning):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total

    def cpu_seconds(self) -> float:
        """Return what all processes that live have used, and those that they have waited for."""
        total = 0.0
        for process in self.processes(""):
            with suppress(psutil.NoSuchProcess):
                total += sum(process.cpu_times()[:4])
        return total

    def output(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def outputs(self, beginning: str) -> str:
        """Return what all processes have said whose names begin so."""
        return "\n".join(self.output(name) for name in self._logs if name.startswith(beginning))


@contextmanager
def bare_machine() -> Iterator[Machine]:
    """Give a machine with an empty folder; on the checkout's own disk, since /tmp may be memory."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="turn-", dir=RESULTS))
        stack.callback(_kill_forgotten)
        yield Machine(Path(folder), stack)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def ending_well() -> Iterator[None]:
    """Let Ctrl-C, a SIGTERM and a `BenchError` end the program, with all that it has started."""
    # A shell starts what it puts into the background deaf to SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    except BenchError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def own_cpu_seconds() -> float:
    """Return what this process and its children that have ended have used."""
    return sum(os.times()[:4])


def _fail(name: str, log: Path, code: int) -> NoReturn:
    said = last_lines(log.read_text(errors="replace"))
    raise BenchError(f"{name} ended with code {code}. Its last lines:\n{said}")


def last_lines(text: str, count: int = 15) -> str:
    return "\n".join(text.splitlines()[-count:])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((LOCAL, port), timeout=0.5):
            return True
    except OSError:
        return False


def _kill_forgotten() -> None:
    # A signal may come between the birth of a process and our note of it.
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    # Nothing here is worth a graceful end: the counts are taken before, and the folder goes as well.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
