"""Flower's password: the one of the settings, or one that is generated at the first start and kept."""

from typing import Final

from jobyard.settings import Settings
from jobyard.settings.generated_password import generated_password

FILE_NAME: Final = "flower.password"


def flower_password(settings: Settings) -> str:
    """Return the password; a generated one is kept in `{home}/flower.password`, readable by its owner."""
    if settings.flower.password is not None:
        return settings.flower.password.get_secret_value()
    return generated_password(settings.home / FILE_NAME)
