"""Modules with tasks: one that cannot be found, one that is another than was meant, one without tasks."""

from pathlib import Path

import pytest

from jobyard.jobs.errors import TaskDeclarationError
from jobyard.tasks.registry import _import

SAYS = "JOBYARD_TASKS__MODULES names"


@pytest.mark.parametrize(
    "module", ["jobyard_nowhere", "jobyard_nowhere.jobs", "json.nowhere", "json.decoder.nowhere"]
)
def test_a_module_that_cannot_be_found_is_named_with_the_setting(module: str) -> None:
    with pytest.raises(TaskDeclarationError, match=f"JOBYARD_TASKS__MODULES names '{module}'"):
        _import(module, SAYS)


def test_a_package_of_that_name_that_is_another_one_is_shown_with_its_place() -> None:
    with pytest.raises(TaskDeclarationError, match=r"there is a 'json', at .*/json/__init__.py, and no"):
        _import("json.jobs_mail", SAYS)


def test_a_module_without_a_task_is_refused_with_its_place() -> None:
    with pytest.raises(TaskDeclarationError, match=r"names 'colorsys', which is .*/colorsys.py and declares"):
        _import("colorsys", SAYS)


def test_a_module_that_was_imported_before_has_its_tasks() -> None:
    _import("tests.support.bad_tasks", SAYS)
    _import("tests.support.bad_tasks", SAYS)


@pytest.mark.parametrize("missing", ["jobyard_nothing", "jobyard_sho"])
def test_a_module_that_is_there_is_not_blamed_for_what_it_imports_in_vain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str
) -> None:
    (tmp_path / "jobyard_shop.py").write_text(f"import {missing}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=f"'{missing}'"):
        _import("jobyard_shop", SAYS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from tasks.base import task", "from jobyard import task"),
        ("from tasks.payload import Payload", "from jobyard import FileId, Payload"),
        ("from jobs.errors import RetryLater", "from jobyard import ..."),
    ],
)
def test_a_module_that_imports_an_old_name_is_told_the_new_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str
) -> None:
    (tmp_path / "jobyard_old.py").write_text(f"{old}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TaskDeclarationError) as error:
        _import("jobyard_old", SAYS)
    assert f"{SAYS} 'jobyard_old', which imports '{old.split()[1].partition('.e')[0]}'" in str(error.value)
    assert f"what Jobyard had there is now `{new}`" in str(error.value)
