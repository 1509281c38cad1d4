"""The tasks of this application."""

from jobyard.settings.application import set_default_application

set_default_application("config.application")
