"""A thread that a worker runs beside its jobs, from its start to its stop."""

import threading
from abc import ABC, abstractmethod
from typing import Any

from celery import bootsteps


class BackgroundThread(ABC):
    """Runs until it is told to stop; what derives from it says what it does."""

    def __init__(self, name: str) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    @abstractmethod
    def _run(self) -> None:
        """Work until `_stopping` is set."""


class BackgroundStep(bootsteps.StartStopStep):
    """Starts a thread with the worker, and stops it first."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._thread = self.make_thread()

    def make_thread(self) -> BackgroundThread:
        raise NotImplementedError

    def start(self, worker: Any) -> None:
        self._thread.start()

    def stop(self, worker: Any) -> None:
        self._thread.stop()
