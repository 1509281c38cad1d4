"""`jobyard celery-check PATH`: its options, what it prints, and how it ends."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jobyard.celery_check.check import Checked, check
from jobyard.celery_check.report import as_json, as_text
from jobyard.celery_check.rewrite import git_fault, rewritten

DESCRIPTION: Final = "Say what of a Celery code base moves here by its imports, and what not"
EPILOG: Final = (
    "The code is read, and never imported or run. Ends with 0 where all of it moves by its imports, 1 where "
    "something needs a hand, 2 where the command was called wrongly."
)
_NEEDS_A_HAND: Final = 1
_WRONG_USE: Final = 2


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("jobyard celery-check", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("path", type=Path, metavar="PATH", help="a folder, or one file")
    parser.add_argument("--write", action="store_true", help="change the imports, and nothing else")
    parser.add_argument(
        "--diff", action="store_true", help="print what --write would change, and change nothing"
    )
    parser.add_argument("--force", action="store_true", help="write where git could not take it back")
    parser.add_argument("--json", action="store_true", help="report as JSON")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Check, and write if that was asked for; ends the program with the exit code."""
    options = _options(arguments)
    root: Path = options.path
    if not root.exists():
        _refuse(f"there is no {root}")
    if options.diff and options.json:
        _refuse("--diff prints a diff and --json prints JSON: leave one out")
    if options.force and not options.write:
        _refuse("--force belongs to --write")
    checked = check(root)
    if options.diff:
        for change in rewritten(checked):
            sys.stdout.write(change.diff())
    else:
        if options.write:
            checked = _write(checked, force=options.force)
        print(as_json(checked) if options.json else as_text(checked))
    sys.stdout.flush()
    sys.exit(0 if checked.all_moves else _NEEDS_A_HAND)


def _write(checked: Checked, *, force: bool) -> Checked:
    """Change the imports, and check again: what is reported is what is left."""
    changes = list(rewritten(checked))
    if not changes:
        return checked
    if not force and (fault := git_fault(checked.root, [change.path for change in changes])):
        _refuse(f"{fault}: commit first, or say --force; nothing was written")
    for change in changes:
        try:
            change.write()
        except OSError as error:
            _refuse(f"{change.path}: {error.strerror}; the files before it were written")
        print(f"written: {change.path}", file=sys.stderr)
    return check(checked.root)


def _refuse(fault: str) -> None:
    print(f"jobyard celery-check: {fault}", file=sys.stderr)
    sys.exit(_WRONG_USE)
