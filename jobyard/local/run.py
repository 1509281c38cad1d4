"""`jobyard run`: everything on one machine, in the foreground, with one log, until Ctrl-C."""

import fcntl
import os
import sys
from pathlib import Path
from typing import TextIO

from jobyard.local.supervisor import Supervisor, read_plan


def main(*, reload: bool = False) -> None:
    """Run until everything has ended; ends the program with its exit code."""
    plan = read_plan()
    if plan is None:
        sys.exit(1)
    with lock(Path(plan["lock"])):
        sys.exit(_supervisor(plan, reload=reload).run())


def _supervisor(plan: "dict[str, object]", *, reload: bool) -> Supervisor:
    if not reload:
        return Supervisor(plan)
    from jobyard.local.reload import ReloadingSupervisor

    return ReloadingSupervisor(plan)


def lock(path: Path) -> TextIO:
    """Take the folder for this supervisor alone; ends the program where another runs there."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        sys.exit(f"a yard runs in {path.parent} already (process {file.read().strip()}); its Ctrl-C ends it")
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
