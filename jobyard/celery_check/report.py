"""What was found, for people and as JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from jobyard.celery_check.check import Checked
from jobyard.celery_check.finding import Finding, Verdict
from jobyard.celery_check.rules.tasks import CHOOSE

JSON_VERSION: Final = 1
_TITLES: Final = {
    Verdict.DECIDE: "Decide first: these tasks would run again after a lost worker, and did not with Celery",
    Verdict.REFUSED: "Does not move",
    Verdict.BY_HAND: "Moves in another way",
    Verdict.BY_IMPORT: "Moves by its imports",
}


def as_text(checked: Checked) -> str:
    """Return the report for people: what has to be decided first, and what moves by itself last."""
    return "\n".join(_lines(checked))


def _lines(checked: Checked) -> Iterator[str]:
    for verdict, title in _TITLES.items():
        found = [finding for finding in checked.findings if finding.verdict is verdict]
        if found:
            yield f"{title}:"
            for finding in found:
                yield from _finding(finding)
            if verdict is Verdict.DECIDE:
                yield f"  Say {CHOOSE}; for all at once"
                yield "  JOBYARD_TASKS__MAX_LOSSES=0, or task_acks_late = True."
            yield ""
    if checked.unread:
        yield "Was not read:"
        for unread in checked.unread:
            yield f"  {unread.path}: {unread.reason}"
        yield ""
    yield summary(checked)


def _finding(finding: Finding) -> Iterator[str]:
    where = f"  {finding.path}:{finding.line}"
    if finding.verdict is Verdict.DECIDE:
        # What there is to decide is the same for each, and stands above and below them.
        yield f"{where}: {finding.sentence.partition(':')[0]}"
        return
    if finding.idiom == "import":
        yield f"{where}: {finding.sentence}  ->  {finding.edit}"
        return
    shows_idiom = (
        finding.verdict in (Verdict.REFUSED, Verdict.BY_HAND) and finding.idiom not in finding.sentence
    )
    yield f"{where}: {f'{finding.idiom}: ' if shows_idiom else ''}{finding.sentence}"
    if finding.edit:
        for line in finding.edit.splitlines():
            yield f"      {line}"


def summary(checked: Checked) -> str:
    """Return the numbers in one line."""
    counts = checked.counts
    return (
        f"{checked.files} files, {len(checked.modules)} of them looked at: "
        f"{counts[Verdict.BY_IMPORT]} places move by their imports, {counts[Verdict.BY_HAND]} in another "
        f"way, {counts[Verdict.REFUSED]} do not; tasks to decide: {counts[Verdict.DECIDE]}, "
        f"files not read: {len(checked.unread)}."
    )


def as_json(checked: Checked) -> str:
    """Return the report for programs."""
    counts = checked.counts
    report: dict[str, Any] = {
        "version": JSON_VERSION,
        "path": str(checked.root),
        "files": checked.files,
        "looked_at": len(checked.modules),
        "all_moves": checked.all_moves,
        "counts": {verdict.value: counts[verdict] for verdict in Verdict},
        "findings": [asdict(finding) for finding in sorted(checked.findings, key=_order)],
        "unread": [asdict(unread) for unread in checked.unread],
    }
    return json.dumps(report, indent=2, ensure_ascii=False)


def _order(finding: Finding) -> tuple[int, str, int, int]:
    return list(_TITLES).index(finding.verdict), finding.path, finding.line, finding.column
