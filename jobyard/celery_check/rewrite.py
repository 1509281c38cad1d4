"""Changes the imports of the files that were read, or says how they would change."""

import difflib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from jobyard.celery_check.check import Checked
from jobyard.celery_check.import_edits import import_edits
from jobyard.celery_check.source_file import (
    SourceFile,
    UnreadableError,
    edited,
    lines_of,
    parse_source,
    read_source,
)

GIT_SECONDS: Final = 60
_NO_NEWLINE: Final = "\\ No newline at end of file\n"


@dataclass(frozen=True)
class Rewritten:
    """A file with other imports."""

    path: Path
    source: SourceFile
    text: str

    def diff(self) -> str:
        """Return the change as a unified diff."""
        name = self.source.path.lstrip("/")
        after = lines_of(self.text)
        lines = difflib.unified_diff(self.source.lines, after, f"a/{name}", f"b/{name}")
        return "".join(line if line.endswith(("\n", "\r")) else f"{line}\n{_NO_NEWLINE}" for line in lines)

    def write(self) -> None:
        """Write the file; its encoding, line ends and rights stay. It is whole where a write fails, too."""
        target = self.path.resolve()
        with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name[:50]}.", delete=False) as new:
            try:
                new.write(self.source.encoded(self.text))
                new.close()
                shutil.copymode(target, new.name)
                os.replace(new.name, target)
            except BaseException:
                os.unlink(new.name)
                raise


def rewritten(checked: Checked) -> Iterator[Rewritten]:
    """Yield each file whose imports move; one that would not parse afterwards is left as it is.

    So is a link to a file elsewhere, which belongs to others, and of which git does not know here.
    """
    root = checked.root.resolve()
    for path in checked.modules:
        if not path.resolve().is_relative_to(root):
            continue
        try:
            source = read_source(str(path), path)
            edits = [edit for each in import_edits(source) for edit in each.edits]
            text = edited(source.text, edits)
            if parse_source(str(path), source.encoded(text)).text != text:  # not every codec goes both ways
                continue
        except (OSError, UnicodeError, UnreadableError, RecursionError):
            continue
        if text != source.text:
            yield Rewritten(path, source, text)


def git_fault(root: Path, files: list[Path]) -> str:
    """Return why git could not take the changes back; an empty text where it could, or is not used."""
    folder = root if root.is_dir() else root.parent
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if status is None:
        return ""
    if status.strip():
        return "there are changes that are not committed"
    for path in (file.resolve() for file in files):
        if _git(path.parent, "ls-files", "--error-unmatch", "--", path.name) is None:
            return f"{path} is not in git"
    return ""


def _git(folder: Path, *arguments: str) -> str | None:
    # A repository's configuration may name programs to run; fsmonitor is the one that `status` runs.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=GIT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
