"""Code bases of a few lines, and what is said about them."""

from pathlib import Path
from textwrap import dedent

from jobyard.celery_check.check import Checked, check
from jobyard.celery_check.finding import Finding


def write_files(root: Path, files: dict[str, str]) -> Path:
    """Write files below a folder, and return it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return root


def checked(root: Path, files: dict[str, str] | str) -> Checked:
    """Return what is found in some files, or in one module."""
    return check(write_files(root, {"tasks.py": files} if isinstance(files, str) else files))


def said(found: Checked) -> list[str]:
    """Return each finding as `verdict idiom`, in the order of their lines."""
    return [f"{finding.verdict} {finding.idiom}" for finding in found.findings]


def about(found: Checked, idiom: str) -> Finding:
    """Return the one finding about an idiom."""
    [finding] = [each for each in found.findings if each.idiom == idiom]
    return finding
