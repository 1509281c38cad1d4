"""What docs/your-own-repository.md shows is what the example has."""

import re

import pytest

from jobyard.settings.extras import PACKAGES_OF_EXTRA
from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "your-own-repository.md").read_text()
BLOCKS = dict(re.findall(r"^```(?:python)?\n# ([\w/.]+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def test_the_page_shows_the_files_of_the_example() -> None:
    assert BLOCKS.keys() == {
        "config/jobs.py",
        "config/schedules.py",
        "config/settings.py",
        "tasks/reports.py",
        "tests/test_reports.py",
        "api/app.py",
        "Dockerfile",
    }


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_file_of_the_example_is_as_the_page_shows_it(name: str) -> None:
    content = (ROOT / "examples" / "shop" / name).read_text()
    if name == "Dockerfile":
        content = content.partition("\n")[2]  # its first line is a comment
    assert BLOCKS[name] == content


def test_every_extra_that_is_named_exists() -> None:
    named = {extra for extras in re.findall(r"\[([a-z,]+)\]`", PAGE) for extra in extras.split(",")}
    assert named - {"all"} == PACKAGES_OF_EXTRA.keys()
