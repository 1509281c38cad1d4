"""Finds the files of a code base that may use Celery, without following links to folders."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobyard.celery_check.finding import Unread

SKIPPED_FOLDERS: Final = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
# A larger file is data that was written as code.
MAX_BYTES: Final = 8 * 1024 * 1024
# A file without any of these uses no Celery, and is not parsed.
_TRACES: Final = re.compile(
    rb"celery|kombu|jobyard|shared_task|apply_async|\.delay|broker_|redbeat|acks_late|result_backend|"
    # An application that is imported from elsewhere, and what is asked of it.
    rb"\.task\b|send_task|\.control\b|AsyncResult|periodic_task|"
    # The calls of signatures, an application's configuration, and keys in a module of settings.
    rb"\.si?\(|\.conf\b|^\s*(?:(?:task|worker|beat|result)_\w+|timezone|enable_utc)\s*=",
    re.IGNORECASE | re.MULTILINE,
)
_NOTEBOOK_TRACES: Final = re.compile(rb"celery|apply_async", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may use Celery: its path as it is shown, where it is, and what it holds."""

    shown: str
    path: Path
    data: bytes


@dataclass
class Walk:
    """The files under a path; counts what it met, and lists what it could not read."""

    root: Path

    def __post_init__(self) -> None:
        self.files = 0
        self.unread: list[Unread] = []
        self._seen: set[tuple[int, int]] = set()

    def candidates(self) -> Iterator[Candidate]:
        """Yield each Python file once that may use Celery, in the order of their names."""
        for path in self._paths():
            if data := self._read(path):
                yield Candidate(self.shown(path), path, data)

    def shown(self, path: Path) -> str:
        """Return a path as it is shown: below the one that was given."""
        return str(path) if path != self.root else str(self.root)

    def _paths(self) -> Iterator[Path]:
        if self.root.is_file():
            yield self.root
            return
        for folder, folders, names in os.walk(self.root, onerror=self._cannot_list):
            folders[:] = sorted(name for name in folders if self._is_entered(Path(folder, name)))
            yield from (
                Path(folder, name) for name in sorted(names) if name.endswith((".py", ".pyw", ".ipynb"))
            )

    def _is_entered(self, folder: Path) -> bool:
        if folder.name.startswith(".") or folder.name in SKIPPED_FOLDERS:
            return False
        return not any((folder / sign).exists() for sign in ("pyvenv.cfg", "conda-meta"))

    def _cannot_list(self, error: OSError) -> None:
        self.unread.append(
            Unread(str(error.filename), error.strerror or "cannot be listed", needs_a_look=True)
        )

    def _read(self, path: Path) -> bytes:
        shown = self.shown(path)
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or (status.st_dev, status.st_ino) in self._seen:
                return b""
            self._seen.add((status.st_dev, status.st_ino))
            self.files += 1
            data = path.read_bytes() if status.st_size <= MAX_BYTES else b""
        except OSError as error:
            if not path.is_symlink():
                self.unread.append(Unread(shown, error.strerror or "cannot be read", needs_a_look=True))
            return b""
        if status.st_size > MAX_BYTES:
            self.unread.append(Unread(shown, f"more than {MAX_BYTES >> 20} MiB", needs_a_look=False))
        if path.suffix == ".ipynb":
            if _NOTEBOOK_TRACES.search(data):
                self.unread.append(Unread(shown, "a notebook that names Celery", needs_a_look=False))
            return b""
        return data if _TRACES.search(data) or "celery" in path.name.lower() else b""
