"""Extracts what a result needs from foreign content, in a program of its own that may use little.

    python -I outline_main.py page|feed|json|robots

It reads the URL in a line, and the content in UTF-8, and writes JSON. The libraries that parse such content
can be made to compute for minutes, and hold the GIL meanwhile, so a worker could not even renew its leases.
Here such content ends only this program.
"""

import json
import os
import resource
import sys
from importlib import import_module

CPU_SECONDS = 3
MEMORY_BYTES = 1024**3


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # Python's `-I` leaves this folder out; it holds the modules that are run.
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    kind = import_module(f"{sys.argv[1]}_outline")
    url, _, text = sys.stdin.buffer.read().decode().partition("\n")
    sys.stdout.write(json.dumps(kind.outline(text, url)))


if __name__ == "__main__":
    main()
