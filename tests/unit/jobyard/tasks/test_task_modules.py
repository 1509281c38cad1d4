"""JOBYARD_TASKS__MODULES: modules that cannot be found are told from modules that are there and broken."""

from pathlib import Path

import pytest

from jobyard.jobs.errors import TaskDeclarationError
from jobyard.tasks.registry import _import


@pytest.mark.parametrize(
    "module", ["jobyard_nowhere", "jobyard_nowhere.jobs", "json.nowhere", "json.decoder.nowhere"]
)
def test_a_module_that_cannot_be_found_is_named_with_the_setting(module: str) -> None:
    with pytest.raises(TaskDeclarationError, match=f"JOBYARD_TASKS__MODULES names '{module}'"):
        _import(module)


@pytest.mark.parametrize("missing", ["jobyard_nothing", "jobyard_sho"])
def test_a_module_that_is_there_is_not_blamed_for_what_it_imports_in_vain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str
) -> None:
    (tmp_path / "jobyard_shop.py").write_text(f"import {missing}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=f"'{missing}'"):
        _import("jobyard_shop")
