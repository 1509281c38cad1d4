"""Flower's password: the one that is set, or one that is made at first start and kept."""

import os
import secrets

from config.settings import Settings

FILE_NAME = "flower.password"


def flower_password(settings: Settings) -> str:
    """Return the password; a generated one is kept in `{home}/flower.password`, readable by its owner."""
    if settings.flower.password is not None:
        return settings.flower.password.get_secret_value()
    path = settings.home / FILE_NAME
    settings.home.mkdir(parents=True, exist_ok=True)
    try:
        # O_EXCL: of two processes that start together, one makes the password and the other reads it.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(12))
    return path.read_text().strip()
