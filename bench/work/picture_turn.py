"""One turn of `bench.pictures`: `python -m bench.work.picture_by_vips PICTURE SMALL FOLDER`.

The library warms up on the small picture, which has the same format. Prints JSON.
"""

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

MIB = 1024 * 1024


def take_turn(convert: Callable[[bytes], list[bytes]]) -> None:
    """Convert the picture that the command line names, and keep what was made in its folder."""
    picture, small, folder = map(Path, sys.argv[1:])
    convert(small.read_bytes())
    content, memory_before = picture.read_bytes(), _peak_bytes()
    began, cpu_began = perf_counter(), process_time()
    made = convert(content)
    figures = {
        "ms": (perf_counter() - began) * 1000,
        "cpu_ms": (process_time() - cpu_began) * 1000,
        "mib": (_peak_bytes() - memory_before) / MIB,
    }
    for kept, suffix in zip(made, ("webp", "jpg"), strict=True):
        (folder / f"{picture.name}.{suffix}").write_bytes(kept)
    print(json.dumps(figures))


def _peak_bytes() -> int:
    # ru_maxrss starts with the peak of the process that started this one; Linux's VmHWM does not.
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
