"""Programs that were written for Celery run on both: there as they stand, here with their imports moved."""

import subprocess
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

import jobyard
from jobyard.celery_check.check import check
from jobyard.celery_check.finding import Verdict
from jobyard.celery_check.rewrite import rewritten
from tests.support.celery_program import CeleryProgram, run
from tests.support.processes import YardProcesses

pytestmark = pytest.mark.timeout(240)

# What a task asks of itself comes with `current_task`.
IN_TASKS = frozenset({"Jobyard", "current_task"})
ORDERS = CeleryProgram("orders", "orders.app:app", ("orders", "payments", "printing"), 2, IN_TASKS)
FEEDS = CeleryProgram("feeds", "feeds.app:app", ("celery", "default"), 4, IN_TASKS | {"signals"})
REPORTS = CeleryProgram("reports", "reports.tasks:app", ("celery", "default"), 3, IN_TASKS | {"AsyncResult"})
LIBRARY = CeleryProgram("library", "library.celery:app", ("library",), 3, IN_TASKS)
PROGRAMS = [ORDERS, FEEDS, REPORTS, LIBRARY]

EXPECTED: dict[str, Any] = {
    "orders": {
        "total": "14.85",
        "charged": [17, 500, "NOK", "payments"],
        "label": {"lines": ["Ada Lovelace", "London"], "copies": 2, "queue": "printing"},
        "elsewhere": {"lines": [], "copies": 1, "queue": "orders"},
        "by name": "1.20",
        "here": "2.40",
    },
    "feeds": {
        "feeds.tasks.fetch": {
            "state": "SUCCESS",
            "value": "a.example after 2 retries",
            "journal": [
                "start a.example",
                "retry no answer from a.example",
                "start a.example",
                "retry no answer from a.example",
                "start a.example",
                "success a.example after 2 retries",
                "after SUCCESS",
            ],
        },
        "feeds.tasks.give_up": {
            "state": "SUCCESS",
            "value": "gave up",
            "journal": [
                "start a.example",
                "retry None",
                "start a.example",
                "success gave up",
                "after SUCCESS",
            ],
        },
        "feeds.tasks.never": {
            "state": "FAILURE",
            "value": "a.example",
            "journal": [
                "start a.example",
                "retry a.example",
                "start a.example",
                "failure FeedError a.example",
                "signal feeds.tasks.never a.example a.example",
                "after FAILURE",
            ],
        },
    },
    "reports": {
        "good": {"wrote": True, "end": {"state": "SUCCESS", "result": {"pages": 3}}},
        "torn": {"wrote": True, "end": {"state": "FAILURE", "error": "page 2 is torn"}},
        "unknown": {"state": "PENDING", "result": None},
    },
    "library": {"reminders": 1, "told": "Ada: Notes"},
}


@pytest.fixture(params=PROGRAMS, ids=lambda program: program.name)
def program(request: pytest.FixtureRequest) -> CeleryProgram:
    chosen: CeleryProgram = request.param
    return chosen


def skip_where_a_name_is_missing(names: frozenset[str]) -> None:
    known = {*jobyard.__all__, *(module.name for module in iter_modules(jobyard.__path__))}
    if missing := names - known:
        pytest.skip(f"jobyard has no {', '.join(sorted(missing))} yet")


def test_on_plain_celery_it_runs_as_it_stands(program: CeleryProgram, tmp_path: Path) -> None:
    assert program.on_celery(program.copy_to(tmp_path)) == EXPECTED[program.name]


def test_all_of_it_moves_by_its_imports(program: CeleryProgram, tmp_path: Path) -> None:
    folder = program.copy_to(tmp_path)
    before = lines_of(folder)
    found = program.move(folder)
    assert [each for each in found.findings if each.verdict is not Verdict.BY_IMPORT] == []
    assert len(before - lines_of(folder)) == program.lines_that_move
    assert list(rewritten(check(folder))) == []


def lines_of(folder: Path) -> set[tuple[str, int, str]]:
    return {
        (path.name, number, line)
        for path in folder.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines())
    }


def test_on_jobyard_it_runs_with_its_imports_moved(
    program: CeleryProgram, tmp_path: Path, yard: YardProcesses
) -> None:
    skip_where_a_name_is_missing(program.needs)
    folder = program.copy_to(tmp_path)
    program.move(folder)
    assert program.on_jobyard(folder, yard) == EXPECTED[program.name]


def test_eager_tests_of_a_django_project_pass_on_both(tmp_path: Path, yard: YardProcesses) -> None:
    folder = LIBRARY.copy_to(tmp_path)
    assert run_its_tests(folder, {}).returncode == 0
    skip_where_a_name_is_missing(LIBRARY.needs | {"testing"})
    LIBRARY.move(folder)
    done = run_its_tests(folder, LIBRARY.environment(folder, yard))
    assert done.returncode == 0, done.stderr


def run_its_tests(folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    done = run(folder, environment, "manage.py", "test")
    assert "Ran 4 tests" in done.stderr, done.stderr
    return done
