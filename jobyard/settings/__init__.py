"""What can be set from outside, and what follows from it. Imports nothing of Jobyard's."""

from jobyard.settings.errors import SettingsError
from jobyard.settings.settings import ENV_PREFIX, Settings, get_section, get_settings, load_settings

__all__ = ["ENV_PREFIX", "Settings", "SettingsError", "get_section", "get_settings", "load_settings"]
