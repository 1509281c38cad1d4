"""`python -m bench.computing_pool COUNT`: the same computation by a plain `multiprocessing.Pool(2)`.

Prints one line of JSON with the CPU seconds of all its processes.
"""

import json
import os
import sys
from multiprocessing import Pool

from bench.computation import compute_and_note


def main() -> None:
    count = int(sys.argv[1])
    before = os.times()
    with Pool(2) as pool:
        for _ in pool.imap_unordered(compute_and_note, range(count)):
            pass
        pool.close()
        pool.join()
    # Of the four figures, what this process and its dead children have used.
    print(json.dumps({"cpu_seconds": sum(os.times()[:4]) - sum(before[:4])}))


if __name__ == "__main__":
    main()
