"""The HTTP API of this yard."""

from jobyard.settings.application import application_by_default

application_by_default("config.application")
