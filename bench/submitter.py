"""`python -m bench.submitter`: what a program that only hands jobs in pays, beside its libraries alone.

Each turn is a process of its own: it imports the libraries and nothing else, declares a task, or hands a
job in as well (its broker is away, which costs nothing here). Memory is the peak of the resident set.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.tools.machine import ROOT
from bench.tools.report import number_of_rounds, spread, table

LIBRARIES: Final = """
import celery, pydantic, pydantic_settings, sqlalchemy, structlog, uuid_utils
from celery import Celery
import sqlalchemy.dialects.sqlite
import kombu.transport.redis
Celery("bare", set_as_current=False).conf.update(enable_utc=True)
"""
DECLARE: Final = """
from jobyard import Payload, task
class Note(Payload):
    text: str
@task("shop.note")
def note(payload: Note) -> None: ...
"""
HAND_IN: Final = DECLARE + "note.delay(Note(text='hello'))\n"
MEASURED: Final = """
import json, resource, sys, time
began = time.perf_counter()
exec(sys.argv[1])
seconds = time.perf_counter() - began
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(sys.modules)]))
"""
PROGRAMS: Final = {"libraries alone": LIBRARIES, "declares a task": DECLARE, "hands a job in": HAND_IN}


def measure(python: str, program: str, home: Path) -> tuple[float, float, int]:
    """Return the seconds, the peak of memory in MiB, and the modules of one process."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("JOBYARD_", "PYTHON"))
    } | {"JOBYARD_HOME": str(home), "JOBYARD_ENV_FILE": "", "JOBYARD_BROKER__URL": "redis://127.0.0.1:1/0"}
    ended = subprocess.run(
        [python, "-c", MEASURED, program],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, mebibytes, modules = json.loads(ended.stdout.splitlines()[-1])
    return float(seconds), float(mebibytes), int(modules)


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.submitter", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=number_of_rounds, default=9)
    parser.add_argument(
        "--python", default=sys.executable, help="of an environment with jobyard[redis,worker]"
    )
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        home = Path(folder)
        environment = os.environ | {"JOBYARD_HOME": folder, "JOBYARD_ENV_FILE": ""}
        migrate = [options.python, "-m", "jobyard", "migrate"]
        subprocess.run(migrate, env=environment, cwd=ROOT, check=True, capture_output=True)
        rounds = [
            {name: measure(options.python, program, home) for name, program in PROGRAMS.items()}
            for _ in range(options.rounds)
        ]
    bare = "libraries alone"
    rows = [
        (
            name,
            spread(turn[name][0] * 1000 for turn in rounds),
            spread((turn[name][0] / turn[bare][0] for turn in rounds), 2),
            spread((turn[name][1] for turn in rounds), 1),
            spread((turn[name][1] / turn[bare][1] for turn in rounds), 2),
            str(rounds[-1][name][2]),
        )
        for name in PROGRAMS
    ]
    print(table(("a program that", "ms", "ratio", "MiB", "ratio", "modules"), rows))


if __name__ == "__main__":
    main()
