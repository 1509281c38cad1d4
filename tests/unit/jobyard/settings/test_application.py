"""How a process finds its application, and what it says where that cannot be."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from jobyard.settings import SettingsError
from jobyard.settings.application import (
    Application,
    SettingsSection,
    application_name,
    application_source,
    find_application,
    set_default_application,
    without_application,
)
from jobyard.settings.queues import Queue

PLACES = ("JOBYARD_APP", "JOBYARD_ENV_FILE")


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working directory, and an environment that names nothing."""
    for name in PLACES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def write_project(folder: Path, app: str) -> None:
    (folder / "pyproject.toml").write_text(f"[project]\nname = 'shop'\n\n[tool.jobyard]\napp = {app}\n")


def test_without_a_name_there_is_none() -> None:
    assert application_name() is None


def test_the_environment_wins_over_the_file_and_that_over_the_project(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    write_project(folder, "'of.project'")
    assert application_name() == "of.project"
    (folder / ".env").write_text("JOBYARD_APP=of.file\n")
    assert application_name() == "of.file"
    monkeypatch.setenv("JOBYARD_APP", "of.environment")
    assert application_name() == "of.environment"


def test_a_file_of_settings_may_have_another_name_or_none(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (folder / ".env").write_text("JOBYARD_APP=of.file\n")
    (folder / "other.env").write_text("JOBYARD_APP=of.another.file\n")
    monkeypatch.setenv("JOBYARD_ENV_FILE", "other.env")
    assert application_name() == "of.another.file"
    monkeypatch.setenv("JOBYARD_ENV_FILE", "")
    assert application_name() is None


def test_a_project_that_names_none_or_has_no_table_of_ours_is_fine(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[project]\nname = 'shop'\n")
    assert application_name() is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[tool.jobyard\n", r"pyproject\.toml.* cannot be read: "),
        (
            "[tool.jobyard]\napp = 3\n",
            r"pyproject\.toml: app in \[tool\.jobyard\] .*'shop\.jobyard:application'",
        ),
        ("[tool.jobyard]\napp = ['a']\n", r"app in \[tool\.jobyard\]"),
    ],
)
def test_a_project_file_that_is_wrong_is_named(folder: Path, text: str, fault: str) -> None:
    (folder / "pyproject.toml").write_text(text)
    with pytest.raises(SettingsError, match=fault):
        application_name()


def test_a_default_holds_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBYARD_APP", "")  # so that what is set here is taken back
    set_default_application("config.application")
    assert os.environ["JOBYARD_APP"] == "config.application"
    set_default_application("another")
    assert os.environ["JOBYARD_APP"] == "config.application"


@pytest.mark.parametrize("name", ["shop_app", "shop_app:application", "shop_app:other"])
def test_a_module_with_an_attribute_is_found(folder: Path, name: str) -> None:
    (folder / "shop_app.py").write_text(
        "from jobyard import Application\n"
        "application = Application(tasks=('shop.tasks',))\n"
        "other = application\n"
    )
    assert find_application(name).tasks == ("shop.tasks",)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("no/path", r"JOBYARD_APP is 'no/path'.*module:attribute"),
        ("a:b:c", "module:attribute"),
        ("", "module:attribute"),
        ("jobyard_nowhere", r"JOBYARD_APP names 'jobyard_nowhere': there is no module"),
        ("json.nowhere", r"there is a 'json', at .*json/__init__\.py, and no 'json\.nowhere' in it"),
        ("json:application", r"application in json is missing: make it a jobyard\.Application"),
        ("json:loads", "loads in json is a function"),
    ],
)
def test_a_name_that_leads_nowhere_says_what_is_there(name: str, fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        find_application(name)


def test_an_application_whose_own_import_fails_is_not_blamed_on_the_name(folder: Path) -> None:
    (folder / "shop_broken.py").write_text("import jobyard_nowhere\n")
    with pytest.raises(ModuleNotFoundError, match="jobyard_nowhere"):
        find_application("shop_broken")


def test_queues_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SettingsError, match="'reports' is declared twice"):
        Application(queues=(Queue("reports", "a"), Queue("reports", "b")))


def test_a_module_that_the_application_names_in_vain_is_explained(folder: Path) -> None:
    application = Application(schedules="jobyard_nowhere")
    with pytest.raises(SettingsError, match="the application names 'jobyard_nowhere': there is no module"):
        application.load("jobyard_nowhere", "SCHEDULES", ())
    (folder / "shop_schedules.py").write_text("")
    with pytest.raises(SettingsError, match="the application names shop_schedules, which has no SCHEDULES"):
        application.load("shop_schedules", "SCHEDULES", ())
    assert application.load("shop_schedules", "SCHEDULES", (), is_optional=True) == ()
    assert application.load(None, "SCHEDULES", ()) == ()


def test_a_section_of_the_application_is_read_like_every_other(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    class ShopSettings(SettingsSection):
        currency: str = "EUR"

    from jobyard.settings import settings

    application = Application(settings={"shop": ShopSettings})
    monkeypatch.setattr(settings, "get_application", lambda: application)
    settings.settings_class.cache_clear()
    try:
        for name in [name for name in os.environ if name.startswith("JOBYARD_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("JOBYARD_SHOP__CURRENCY", "CHF")
        loaded = settings.load_settings()
        assert getattr(loaded, "shop").currency == "CHF"  # noqa: B009
        monkeypatch.setenv("JOBYARD_SHOP__CURENCY", "CHF")
        with pytest.raises(SettingsError, match=re.escape("JOBYARD_SHOP__CURENCY: there is no such setting")):
            settings.load_settings()
    finally:
        settings.settings_class.cache_clear()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tasks": "shop.mails"}, 'tasks is a tuple of module names: write ("shop.mails",)'),
        ({"tasks": (1,)}, "tasks is a tuple of module names"),
        ({"queues": ("reports",)}, 'queues is a tuple of queues: write (Queue("reports"'),
        ({"settings": {"shop": object()}}, "settings['shop'] must be a class that derives from"),
        ({"settings": {"shop": dict}}, "settings['shop'] must be a class that derives from"),
        ({"schedules": ("a",)}, "schedules is the name of a module"),
    ],
)
def test_a_part_of_an_application_that_is_something_else_is_named(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        Application(**wrong)


def test_a_key_of_the_project_that_is_not_known_is_refused(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.jobyard]\nap = 'of.project'\n")
    with pytest.raises(SettingsError, match=re.escape("[tool.jobyard] has no 'ap', only 'app'")):
        application_name()


def test_where_an_application_is_named_is_said(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    assert application_source() == (
        f"none: JOBYARD_APP is not set, and {folder / 'pyproject.toml'} names none in [tool.jobyard]"
    )
    assert without_application() == f" (application: {application_source()})"
    write_project(folder, "'of.project'")
    assert application_source() == "of.project, by pyproject.toml"
    assert without_application() == ""
    (folder / ".env").write_text("JOBYARD_APP=of.file\n")
    assert application_source() == "of.file, by .env"
    monkeypatch.setenv("JOBYARD_APP", "of.environment")
    assert application_source() == "of.environment"
