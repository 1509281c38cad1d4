"""schemathesis against a real API with a worker: requests that it makes from the OpenAPI document.

The worker serves the default queue alone, so that no made-up address is fetched and no mail leaves.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from jobyard.jobs.database.ledger_database import open_database
from jobyard.jobs.database.migrate import migrate
from jobyard.settings import Settings
from tests.support.processes import ROOT, YardProcesses

KEY = "a-key-for-the-fuzzer"
HOOKS = "tests.support.schemathesis_hooks"


@contextmanager
def fuzzable_yard(home: Path) -> Iterator[YardProcesses]:
    """Start a yard whose API wants `KEY`."""
    database = open_database(Settings(home=home))
    migrate(database)
    database.close()
    yard = YardProcesses(home, {"JOBYARD_API__KEYS": KEY, "JOBYARD_TASKS__MODULES": "tests.support.letters"})
    try:
        yard.start_valkey()
        yard.start_worker(queues="default")
        yard.start_api()
        yield yard
    finally:
        yard.stop_everything()


def fuzz(yard: YardProcesses, *options: str, seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run schemathesis with every check to its end; its exit code is 0 where it has found nothing."""
    url = f"http://127.0.0.1:{yard.port('API')}"
    document = yard.home / "openapi.json"
    answer = httpx.get(f"{url}/openapi.json", headers={"X-API-Key": KEY}, timeout=60)
    document.write_text(answer.raise_for_status().text)
    (yard.home / "schemathesis.toml").write_text(f'[auth.openapi.apiKey]\napi_key = "{KEY}"\n')
    return subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            *("--checks", "all", "--continue-on-failure", "--no-color"),
            *("--url", url, *options, str(document)),
        ],
        env=os.environ | {"SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(ROOT)},
        cwd=yard.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
