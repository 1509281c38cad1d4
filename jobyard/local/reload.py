"""`jobyard run --reload`: restarts API, workers and beat when code or settings have changed.

They stop as always: a worker finishes what it can and hands back the rest, and the new API serves further
requests. A process that ends because of a fault in the code is started again at the next edit.
"""

import os
import threading
from pathlib import Path
from typing import Any

from watchfiles import Change, PythonFilter, watch

from jobyard.local.supervisor import Supervisor, read_plan


class ReloadingSupervisor(Supervisor):
    """A supervisor that watches the Python files of the working directory, and the file of the settings."""

    def __init__(self, plan: dict[str, Any], parent_id: int | None = None) -> None:
        super().__init__(plan, parent_id)
        self._changed: set[str] = set()
        threading.Thread(target=self._watch_files, name="reload", daemon=True).start()

    def _watch_files(self) -> None:
        settings_file, is_python = Path(self._plan["settings_file"]), PythonFilter()
        is_elsewhere = not settings_file.is_relative_to(Path.cwd())
        paths = [Path.cwd(), *([settings_file] if is_elsewhere and settings_file.is_file() else [])]

        def is_watched(change: Change, path: str) -> bool:
            return Path(path) == settings_file or is_python(change, path)

        for changes in watch(*paths, watch_filter=is_watched):
            self._changed |= {os.path.relpath(path) for _, path in changes}

    def on_poll(self) -> None:
        """Overridden so that changed code is started."""
        if not self._changed:
            return
        names, self._changed = sorted(self._changed), set()
        self.print_line("supervisor", f"changed: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}")
        plan = read_plan("--reload")
        if plan is None:
            self.print_line(
                "supervisor", "the lines above say what is wrong; the old processes go on until the next edit"
            )
            return
        self._plan["environment"] = plan["environment"]
        self.restart([planned for planned in plan["processes"] if planned["reloads"]])

    def on_ended(self, name: str, code: int) -> bool:
        """Overridden so that a fault in the code does not stop the other processes."""
        self.print_line(
            "supervisor", f"{name} has ended (code {code}), and will be started again at the next edit"
        )
        return bool(name != self._plan["broker"])
