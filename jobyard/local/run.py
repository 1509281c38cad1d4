"""`jobyard run`: runs every process on one machine, in the foreground, with one log, until Ctrl-C."""

import fcntl
import os
import sys
from pathlib import Path
from typing import TextIO

from jobyard.local.supervisor import Supervisor, read_plan


def main(*, reload: bool = False, ends_with_parent: bool = False) -> None:
    """Run until every process has ended; ends the program with the exit code."""
    parent_id = os.getppid() if ends_with_parent else None
    plan = read_plan()
    if plan is None:
        sys.exit(1)
    with lock_folder(Path(plan["lock"])):
        sys.exit(_supervisor(plan, parent_id, reload=reload).run())


def _supervisor(plan: "dict[str, object]", parent_id: int | None, *, reload: bool) -> Supervisor:
    if not reload:
        return Supervisor(plan, parent_id)
    from jobyard.local.reload import ReloadingSupervisor

    return ReloadingSupervisor(plan, parent_id)


def lock_folder(path: Path) -> TextIO:
    """Lock the folder for this supervisor; ends the program if another runs there."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        sys.exit(
            f"Jobyard already runs in {path.parent} (process {file.read().strip()}); Ctrl-C there ends it"
        )
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
