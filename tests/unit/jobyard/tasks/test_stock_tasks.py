"""Tasks of Celery's own decorators: an error in a project's modules, and left alone in installed ones."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from jobyard import TaskDeclarationError
from jobyard.broker.celery_app import app
from jobyard.tasks import stock_tasks
from jobyard.tasks.registry import _import
from tests.support.one_app import restored_app

Write = Callable[[str], str]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module of tasks, and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    names: list[str] = []

    def write(text: str) -> str:
        names.append(f"stock_module_{len(list(tmp_path.iterdir()))}")
        (tmp_path / f"{names[-1]}.py").write_text(text)
        return names[-1]

    with restored_app():
        yield write
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "from celery import shared_task\n@shared_task\ndef add(x, y): ...\n",
            "add is a task of Celery's own: import shared_task or Jobyard from jobyard: "
            "this task would be published past the ledger",
        ),
        (
            "from celery import Celery\napp = Celery('old', set_as_current=False)\n"
            "@app.task\ndef add(x, y): ...\n",
            "add is a task of",
        ),
        (
            "from celery import Celery\napp = Celery('old', set_as_current=False)\n"
            "@app.task(shared=False)\ndef add(x, y): ...\n",
            "add is a task of another Celery application",
        ),
        (
            "from celery import shared_task\nfrom jobyard import task\n@task\ndef add(x, y): ...\n",
            "shared_task is celery.shared_task: import it from jobyard",
        ),
        (
            "from celery import chain as then\nfrom jobyard import task\n@task\ndef add(x, y): ...\n",
            "then is celery.chain, and what it calls would be published past the ledger: chain, group, chord "
            "and their kin come with workflows",
        ),
    ],
)
def test_a_module_of_the_project_is_refused(written: Write, text: str, sentence: str) -> None:
    name = written(text)
    with pytest.raises(TaskDeclarationError, match=f"{name}: {sentence}"):
        _import(name, "JOBYARD_TASKS__MODULES names")


def test_an_installed_module_is_left_alone_and_named(
    written: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stock_tasks, "_INSTALLED", (tmp_path.resolve(),))
    name = written(
        "from celery import shared_task\nfrom jobyard import task\n"
        "@shared_task\ndef old(x): ...\n@task\ndef new(x): ...\n"
    )
    _import(name, "JOBYARD_TASKS__MODULES names")
    assert f"{name}.old" in stock_tasks.left_alone()
    assert f"{name}.old" not in app.tasks
    assert f"{name}.new" in app.tasks


def test_what_celery_has_besides_tasks_is_no_fault(written: Write) -> None:
    name = written(
        "from celery import current_app, current_task, Celery\nfrom celery.exceptions import Retry\n"
        "from celery.utils.log import get_task_logger\nfrom jobyard import task\n"
        "log = get_task_logger(__name__)\n@task\ndef add(x, y): ...\n"
    )
    _import(name, "JOBYARD_TASKS__MODULES names")


def test_the_application_keeps_celerys_own_tasks() -> None:
    assert "celery.backend_cleanup" in app.tasks


def test_a_module_without_a_file_belongs_to_the_project() -> None:
    assert not stock_tasks.is_installed(ModuleType("made_up"))
