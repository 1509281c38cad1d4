"""`python -m bench.pictures`: ten pictures converted by Pillow, as `image.convert` does, and by libvips."""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import geometric_mean, median
from tempfile import TemporaryDirectory

from PIL import Image

from bench.tools.machine import ROOT
from bench.tools.report import look_around, number_of_rounds, save, spread, table
from bench.work.sample_pictures import make_all

SIDES = ("pillow", "vips")
HOW_TO_GET_PYVIPS = """{python} has no pyvips; Jobyard does not need it. To measure it, install it apart:

    python3 -m venv /tmp/vips && /tmp/vips/bin/pip install 'pyvips[binary]'
    python -m bench.pictures --vips-python /tmp/vips/bin/python
"""


@dataclass(frozen=True)
class Turn:
    """One picture converted once: time, time of all cores, and memory above what the warm process had."""

    ms: float
    cpu_ms: float
    mib: float


Turns = dict[str, dict[str, list[Turn]]]


def vips_version(python: str) -> str:
    """Return the versions of pyvips and libvips; ends the program where there are none."""
    asked = "import pyvips; print(pyvips.__version__, *map(pyvips.version, range(3)))"
    answer = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(HOW_TO_GET_PYVIPS.format(python=python))
    pyvips, *libvips = answer.stdout.split()
    return f"pyvips {pyvips} on libvips {'.'.join(libvips)}"


def measure(pictures: list[Path], folder: Path, rounds: int, vips_python: str) -> Turns:
    """Convert each picture by each library, in turns, each time in a new process."""
    turns: Turns = {picture.name: defaultdict(list) for picture in pictures}
    for number in range(rounds):
        for picture in pictures:
            for side in SIDES:
                turns[picture.name][side].append(_take_turn(side, picture, folder, vips_python))
        print(f"round {number + 1} of {rounds} is done", file=sys.stderr)
    return turns


def _take_turn(side: str, picture: Path, folder: Path, vips_python: str) -> Turn:
    python = vips_python if side == "vips" else sys.executable
    made_in = folder / side
    made_in.mkdir(exist_ok=True)
    arguments = [str(picture), str(_small_one(picture)), str(made_in)]
    answer = subprocess.run(
        [python, "-m", f"bench.work.picture_by_{side}", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    if answer.returncode:
        sys.exit(f"{side} did not convert {picture.name}:\n{answer.stderr}")
    return Turn(**json.loads(answer.stdout))


def _small_one(picture: Path) -> Path:
    small = picture.parent / "small" / picture.name
    if not small.exists():
        small.parent.mkdir(exist_ok=True)
        with Image.open(picture) as image:
            image.resize((64, 48)).save(small)
    return small


def show(turns: Turns, rounds: int) -> None:
    rows, ratios = [], defaultdict(list)
    for name, sides in turns.items():
        row = [name]
        for figure, digits in (("ms", 0), ("cpu_ms", 0), ("mib", 0)):
            pillow, vips = ([getattr(turn, figure) for turn in sides[side]] for side in SIDES)
            ratio = max(median(vips), 1) / max(median(pillow), 1)
            ratios[figure].append(ratio)
            row += [spread(pillow, digits), spread(vips, digits), f"{ratio:.2f}"]
        rows.append(row)
    means = [f"{geometric_mean(ratios[figure]):.2f}" for figure in ("ms", "cpu_ms", "mib")]
    rows.append(["geometric mean", "", "", means[0], "", "", means[1], "", "", means[2]])
    head = ["picture"]
    for figure in ("ms", "CPU ms", "MiB"):
        head += [f"Pillow {figure}", f"vips {figure}", "vips/Pillow"]
    print(
        f"\nTen pictures, each to a WebP of 1200 pixels and a JPEG of 200 x 200; {rounds} rounds in turns, "
        "each time in\na new process that is warm. Figures are median [least-greatest]; MiB is the peak "
        "above what the warm process had.\n"
    )
    print(table(head, rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=number_of_rounds, default=3)
    parser.add_argument("--vips-python", default=sys.executable, help="an interpreter that has pyvips")
    parser.add_argument("--keep", type=Path, help="a folder for the pictures and what was made of them")
    options = parser.parse_args()
    versions = f"Pillow {version('pillow')}; {vips_version(options.vips_python)}"
    conditions = look_around()
    with TemporaryDirectory(prefix="pictures-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        turns = measure(make_all(folder), folder, options.rounds, options.vips_python)
    show(turns, options.rounds)
    print(f"\n{versions}\n{conditions}")
    save("pictures", conditions, {"versions": versions, "turns": _plain(turns)})


def _plain(turns: Turns) -> dict[str, dict[str, list[dict[str, float]]]]:
    return {
        name: {side: [asdict(turn) for turn in its_own] for side, its_own in sides.items()}
        for name, sides in turns.items()
    }


if __name__ == "__main__":
    main()
