"""`python -m bench.work.converting_jobs FOLDER COUNT`: a folder's pictures by turns, converted by the yard.

They are uploaded before, each once. Prints one line of JSON.
"""

import sys
from itertools import cycle, islice
from pathlib import Path

from bench.work.conversions import Converted, report
from bench.work.picture_by_pillow import SHAPES
from jobyard.jobs.files.store import get_files
from jobyard.jobs.job import Job
from tasks.images.payload import Convert, Made, Output, Source
from tasks.images.task import convert_image

LONGEST_SECONDS = 3600
OUTPUTS = tuple(Output(**shape.model_dump()) for shape in SHAPES)


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    orders = [
        Convert(source=Source(file=get_files().save(path.read_bytes(), name=path.name).id), outputs=OUTPUTS)
        for path in sorted(folder.iterdir())
    ]
    handles = convert_image.submit_many(list(islice(cycle(orders), count)))
    # The last one first, and the others are at their end as well by then: each wait asks the ledger.
    handles[-1].get(LONGEST_SECONDS)
    made = [handle.get(LONGEST_SECONDS).outputs for handle in handles]
    report([_converted(handle.job, outputs) for handle, outputs in zip(handles, made, strict=True)])


def _converted(job: Job, outputs: tuple[Made, ...]) -> Converted:
    if job.started_at is None or job.finished_at is None:
        raise RuntimeError(f"job {job.id} is {job.status}, and never ran")
    size = sum(output.size for output in outputs)
    return Converted(job.started_at.timestamp(), job.finished_at.timestamp(), size)


if __name__ == "__main__":
    main()
