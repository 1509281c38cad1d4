"""Flower's password: set by a person, or made once and kept."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import SecretStr

from jobyard.broker.flower_password import FILE_NAME, flower_password
from jobyard.settings import Settings
from jobyard.settings.sections import FlowerSettings


def test_a_password_that_is_set_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", flower=FlowerSettings(password=SecretStr("chosen")))
    assert flower_password(settings) == "chosen"
    assert not (tmp_path / "home").exists()


def test_a_password_is_made_at_the_first_start_and_kept(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "not" / "there")
    password = flower_password(settings)
    assert len(password) >= 16
    assert flower_password(settings) == password
    assert flower_password(Settings(home=tmp_path / "other")) != password


def test_the_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    flower_password(Settings(home=tmp_path))
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_person_may_write_the_file(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("by hand\n")
    assert flower_password(Settings(home=tmp_path)) == "by hand"


def test_those_who_start_together_have_one_password(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        for attempt in range(20):
            settings = Settings(home=tmp_path / str(attempt))
            passwords = set(pool.map(flower_password, [settings] * 16))
            assert len(passwords) == 1
            assert passwords != {""}
