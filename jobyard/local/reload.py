"""`jobyard run --reload`: API, workers and beat start again when a file of the application has changed.

They end as at any stop: a worker finishes what it can and hands back the rest, and requests go to the API
that comes. A process that ends by itself, over a fault in the code, waits for the next edit.
"""

import threading
from pathlib import Path
from typing import Any

from watchfiles import PythonFilter, watch

from jobyard.local.supervisor import Supervisor, read_plan


class ReloadingSupervisor(Supervisor):
    """A supervisor that looks at the working directory."""

    def __init__(self, plan: dict[str, Any]) -> None:
        super().__init__(plan)
        self._changed: set[str] = set()
        threading.Thread(target=self._look, name="reload", daemon=True).start()

    def _look(self) -> None:
        for changes in watch(Path.cwd(), watch_filter=PythonFilter()):
            self._changed |= {str(Path(path).relative_to(Path.cwd())) for _, path in changes}

    def on_turn(self) -> None:
        """Overridden so that what is written over the old code is started."""
        if not self._changed:
            return
        names, self._changed = sorted(self._changed), set()
        self.say("supervisor", f"changed: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}")
        plan = read_plan("--reload")
        if plan is None:
            self.say(
                "supervisor", "the lines above say what is wrong; what runs goes on, until the next edit"
            )
            return
        self.restart([planned for planned in plan["processes"] if planned["reloads"]])

    def on_ended(self, name: str, code: int) -> bool:
        """Overridden so that a fault in the code ends nothing else."""
        self.say("supervisor", f"{name} has ended (code {code}), and starts again at the next edit")
        return bool(name != self._plan["broker"])
