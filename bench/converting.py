"""`python -m bench.converting`: pictures converted by `image.convert`, beside a plain `multiprocessing.Pool`.

The same pictures, the same function and two processes on either side; the pool goes from file to file.
"""

from dataclasses import asdict, replace
from pathlib import Path

from bench.computing import POOL
from bench.sides.contenders import Contender, jobyard, jobyard_on_postgresql
from bench.tools.contest import Contest, arguments, hold
from bench.tools.machine import Machine, bare_machine, ending_well
from bench.tools.report import spread, table
from bench.work.conversions import Turn, read_report
from bench.work.sample_pictures import make_photos

WARM_UP_PICTURES = 6
LONGEST_SECONDS = 3600
CONTENDERS = (
    jobyard("prefork, 2 children", "worker-cpu"),
    jobyard_on_postgresql("prefork, 2 children", "worker-cpu"),
    POOL,
)


def take_turn(contender: Contender, count: int, photos: Path) -> Turn:
    with bare_machine() as machine:
        if contender is POOL:
            return _convert(machine, "bench.work.converting_pool", photos, count)
        side = contender.side(machine)
        side.start_broker()
        side.start_workers()
        _convert(machine, "bench.work.converting_jobs", photos, WARM_UP_PICTURES)
        before = machine.cpu_seconds()
        turn = _convert(machine, "bench.work.converting_jobs", photos, count)
        return replace(turn, cpu_seconds=machine.cpu_seconds() - before)


def _convert(machine: Machine, module: str, photos: Path, count: int) -> Turn:
    machine.run("convert", module, str(photos), str(count), seconds=LONGEST_SECONDS)
    return read_report(machine.output("convert"))


def show(contest: Contest[Turn], count: int) -> None:
    ratios = contest.ratios(lambda turn: turn.rate, POOL)
    made = {turn.made_bytes for turns in contest.turns.values() for turn in turns}
    rows = [
        (
            contender.label,
            spread((turn.rate for turn in turns), 2),
            ratios[contender],
            spread(turn.cpu_seconds / turn.pictures * 1000 for turn in turns),
        )
        for contender, turns in contest.turns.items()
    ]
    print(
        f"\nConverting: {count:,} photographs of 2, 6 and 12 megapixels, each to a WebP of 1200 pixels and a "
        "thumbnail, in turns. The\nrate is that from the first beginning to the last end; the CPU time is "
        "that of worker, children and broker, or of\nthe pool. Figures are median [least-greatest] of the "
        "rounds.\n"
    )
    print(table(("", "pictures/s", "ratio to the pool per round", "CPU ms for a picture"), rows))
    print(f"\nAll made the same pictures, by their size: {'yes' if len(made) == 1 else 'NO'}")


def main() -> None:
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--pictures", type=int, default=120)
    options = parser.parse_args()
    with ending_well(), bare_machine() as machine:
        photos = make_photos(machine.folder / "photos")
        contest = hold(
            CONTENDERS,
            options,
            lambda contender: take_turn(contender, options.pictures, photos),
            lambda turn: f"{turn.rate:,.2f} pictures/s, {turn.cpu_seconds:,.1f} s of CPU",
        )
    show(contest, options.pictures)
    contest.finish("converting", asdict, figure=lambda turn: turn.rate, unit="pictures/s")


if __name__ == "__main__":
    main()
