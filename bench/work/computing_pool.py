"""`python -m bench.work.computing_pool COUNT`: the same computation by a plain `multiprocessing.Pool(2)`.

Prints one line of JSON with the CPU seconds of all its processes.
"""

import json
import sys
from multiprocessing import Pool

from bench.tools.machine import own_cpu_seconds
from bench.work.computation import compute_and_note


def main() -> None:
    count = int(sys.argv[1])
    before = own_cpu_seconds()
    with Pool(2) as pool:
        for _ in pool.imap_unordered(compute_and_note, range(count)):
            pass
        pool.close()
        pool.join()
    print(json.dumps({"cpu_seconds": own_cpu_seconds() - before}))


if __name__ == "__main__":
    main()
