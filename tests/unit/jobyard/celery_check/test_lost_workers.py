"""The tasks that Celery would not run again after a lost worker are listed first."""

from pathlib import Path

import pytest

from jobyard.celery_check.report import as_text
from tests.unit.jobyard.celery_check.code_base import checked, said

APP = "from celery import Celery, Task\napp = Celery('x')\n"


def decides(root: Path, files: dict[str, str] | str) -> int:
    return said(checked(root, files)).count("decide acks_late")


def test_a_task_that_says_nothing_is_listed_first(tmp_path: Path) -> None:
    found = checked(tmp_path, f"{APP}@app.task\ndef pay(): pass\n")
    assert as_text(found).startswith("Decide first")
    assert as_text(found).count("max_losses=0") == 1
    assert "tasks.py:4: pay\n  Say max_losses=0 where it must never run twice" in as_text(found)
    assert found.all_moves


def test_what_there_is_to_decide_is_said_once_for_many_tasks(tmp_path: Path) -> None:
    found = checked(tmp_path, f"{APP}@app.task\ndef pay(): pass\n@app.task\ndef mail(): pass\n")
    assert as_text(found).count("max_losses=0") == 1
    assert "tasks to decide: 2" in as_text(found)


@pytest.mark.parametrize("words", ["acks_late=True", "max_losses=0", "acks_late=True, max_losses=0"])
def test_a_task_that_has_decided_is_not_listed(tmp_path: Path, words: str) -> None:
    assert decides(tmp_path, f"{APP}@app.task({words})\ndef pay(): pass\n") == 0


@pytest.mark.parametrize(
    "setting",
    [
        {"proj/celeryconfig.py": "task_acks_late = True"},
        {"settings.py": "CELERY_TASK_ACKS_LATE = True"},
        {"settings.py": "CELERY_ACKS_LATE = True"},
        {"proj/app.py": "from tasks import app\napp.conf.task_acks_late = True"},
        {"proj/app.py": "from tasks import app\napp.conf['task_acks_late'] = True"},
        {"proj/app.py": "from tasks import app\napp.conf.update(task_acks_late=True)"},
        {"proj/app.py": "from tasks import app\napp.conf.update({'task_acks_late': True})"},
    ],
)
def test_a_setting_for_the_whole_application_counts(tmp_path: Path, setting: dict[str, str]) -> None:
    files = {"tasks.py": f"{APP}@app.task\ndef pay(): pass\n@app.task(acks_late=False)\ndef bill(): pass\n"}
    assert decides(tmp_path / "without", {**files, "other.py": "task_acks_late = False"}) == 2
    assert decides(tmp_path / "with", {**files, **setting}) == 1


@pytest.mark.parametrize(("body", "number"), [("", 1), ("acks_late = True", 0), ("abstract = True", 0)])
def test_a_class_with_run_is_a_task(tmp_path: Path, body: str, number: int) -> None:
    code = f"{APP}class T(Task):\n  {body}\n  def run(self): pass\n"
    assert decides(tmp_path, code) == number


def test_a_base_class_that_acknowledges_late_counts(tmp_path: Path) -> None:
    code = f"{APP}class Late(Task):\n  acks_late = True\nclass Later(Late): pass\n"
    code += "@app.task(base=Later)\ndef f(): pass\n"
    assert decides(tmp_path, code) == 0
