"""Reads three feeds, and prints what was written down."""

import json
import os
from pathlib import Path
from time import sleep

from feeds.app import app  # noqa: F401 (shared tasks belong to it)
from feeds.tasks import fetch, give_up, never


def main():
    journal = Path(os.environ["FEEDS_JOURNAL"])
    results = {}
    for task in (fetch, give_up, never):
        journal.write_text("")
        result = task.delay("a.example")
        value = result.get(timeout=30, propagate=False)
        while "after" not in journal.read_text():
            sleep(0.05)
        lines = journal.read_text().splitlines()
        results[task.name] = {"state": result.state, "value": str(value), "journal": lines}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
