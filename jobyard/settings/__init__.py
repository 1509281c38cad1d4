"""The settings, and the rules that follow from them; imports no other package of Jobyard."""

from jobyard.settings.errors import SettingsError
from jobyard.settings.settings import ENV_PREFIX, Settings, get_section, get_settings, load_settings

__all__ = ["ENV_PREFIX", "Settings", "SettingsError", "get_section", "get_settings", "load_settings"]
