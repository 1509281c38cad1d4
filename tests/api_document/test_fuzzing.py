"""schemathesis finds nothing in a few requests to each operation; `make prove` sends many."""

from pathlib import Path

import pytest

from tests.support.fuzzed_api import fuzz, fuzzable_yard

SECONDS = 240
# The same requests each time: what is found by chance is found by `make prove`.
FEW = ("--phases", "examples,fuzzing", "--max-examples", "3", "--seed", "1")


@pytest.mark.timeout(SECONDS + 60)
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    with fuzzable_yard(tmp_path) as yard:
        finished = fuzz(yard, *FEW, seconds=SECONDS)
    assert finished.returncode == 0, finished.stdout[-8000:]
