"""The page of the settings names every one of them, and none that is gone."""

import re

from jobyard.settings.__main__ import setting_rows
from jobyard.settings.settings import settings_class
from tests.support.processes import ROOT


def test_the_page_names_every_setting_with_what_it_is_for() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `(JOBYARD_\w+)` \| [^|]*\| (.*) \|$", page, re.MULTILINE))
    assert rows == {name: purpose for name, _, purpose in setting_rows(settings_class()())}
