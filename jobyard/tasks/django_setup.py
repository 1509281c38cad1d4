"""Sets Django up before the modules of tasks are imported, which import its models."""

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Final

SETTINGS: Final = "DJANGO_SETTINGS_MODULE"


def set_up_django() -> None:
    """Call `django.setup()` where the environment names Django's settings."""
    if SETTINGS in os.environ and find_spec("django") is not None:
        import_module("django").setup()
