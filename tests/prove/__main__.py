"""`make prove`: runs the proofs, and writes into docs/proofs.md what they gave."""

import argparse
import os
import platform
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final

from tests.prove import api_document
from tests.prove.proof import Finding, Proof

PROOFS: Final = {proof.name: proof for proof in (api_document.PROOF,)}
PAGE: Final = Path(__file__).parents[2] / "docs" / "proofs.md"


def main() -> None:
    """Exit with 1 where a proof does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PROOFS)}; all without one")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    parser.add_argument("--seconds", type=float, help="the time of each, instead of its own")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - PROOFS.keys():
        parser.error(f"there is no proof {min(unknown)!r}; the proofs are: {', '.join(PROOFS)}")
    proofs = [PROOFS[name] for name in arguments.names or PROOFS]
    held = [_prove(proof, arguments.seconds or proof.seconds, arguments.seed) for proof in proofs]
    sys.exit(not all(held))


def _prove(proof: Proof, seconds: float, seed: int) -> bool:
    print(f"{proof.name}: about {seconds:.0f} s, seed {seed}", flush=True)
    began = monotonic()
    finding = proof.run(seconds, seed)
    took = monotonic() - began
    print(f"{finding.report}\n{proof.name}: {finding.summary}, in {took:.0f} s", flush=True)
    _write(_row(proof, finding, took, seed))
    return finding.holds


def _row(proof: Proof, finding: Finding, took: float, seed: int) -> str:
    today = datetime.now(UTC).date()
    machine = f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    cells = (proof.name, finding.summary, f"{took:.0f} s", seed, _commit(), machine, today)
    return f"| {' | '.join(map(str, cells))} |"


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "no repository"


def _write(row: str) -> None:
    # The page has the latest run of each proof.
    name = row.split("|")[1]
    lines = PAGE.read_text().splitlines()
    rows = [line for line in lines if not line.startswith(f"|{name}|")]
    PAGE.write_text("\n".join([*rows, row]) + "\n")


if __name__ == "__main__":
    main()
