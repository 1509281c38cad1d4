"""`python -m bench.work.converting_pool FOLDER COUNT`: the same pictures by a `multiprocessing.Pool(2)`.

From file to file by the same function as `image.convert`. Prints one line of JSON.
"""

import sys
from functools import partial
from itertools import cycle, islice
from multiprocessing import Pool
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time

from bench.tools.machine import own_cpu_seconds
from bench.work.conversions import Converted, report
from bench.work.picture_by_pillow import convert


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    paths = islice(cycle(sorted(folder.iterdir())), count)
    before = own_cpu_seconds()
    with TemporaryDirectory(dir=folder.parent) as target, Pool(2) as pool:
        job = partial(_convert, target=Path(target))
        converted = list(pool.imap_unordered(job, enumerate(paths)))
        pool.close()
        pool.join()
    report(converted, own_cpu_seconds() - before)


def _convert(numbered: tuple[int, Path], target: Path) -> Converted:
    began, (number, path) = time(), numbered
    made = convert(path.read_bytes())
    for place, content in enumerate(made):
        (target / f"{number}-{place}").write_bytes(content)
    return Converted(began, time(), sum(map(len, made)))


if __name__ == "__main__":
    main()
