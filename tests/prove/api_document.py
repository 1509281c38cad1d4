"""The OpenAPI document is what the server does: schemathesis, with all checks and phases, finds nothing."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.prove.proof import Finding, Proof
from tests.support.fuzzed_api import fuzz, fuzzable_yard

# What schemathesis takes to end after its time is over.
SLACK_SECONDS = 600


def run(seconds: float, seed: int) -> Finding:
    """Send requests for that long."""
    options = ("--max-time", str(int(seconds)), "--seed", str(seed))
    with TemporaryDirectory(prefix="jobyard-prove-") as home, fuzzable_yard(Path(home)) as yard:
        finished = fuzz(yard, *options, seconds=seconds + SLACK_SECONDS)
    holds = finished.returncode == 0
    cases = re.search(r"(\d+) generated", finished.stdout)
    found = "nothing found" if holds else "faults found"
    return Finding(holds, f"{cases[1] if cases else 'no'} requests, {found}", finished.stdout)


PROOF = Proof("api-document", 300, run)
