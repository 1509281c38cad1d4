"""Files and folders that other users of the machine cannot read.

What exists is closed by `jobyard run` alone: elsewhere an operator may have opened it to the users of other
processes.
"""

from pathlib import Path
from typing import Final

PRIVATE_UMASK: Final = 0o077
_OF_OTHERS: Final = 0o007


def make_private_file(path: Path) -> None:
    """Create a file that only its owner can use, if it is missing, and its folder. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)


def make_private_folder(path: Path) -> None:
    """Create a folder that only its owner can enter, if it is missing. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def close_to_others(path: Path) -> None:
    """Take all rights to a file or folder from users outside its group. Raises `OSError`."""
    path.chmod(path.stat().st_mode & 0o7777 & ~_OF_OTHERS)
