"""Flower's password: the one of the settings, or one that is generated at the first start and kept."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from jobyard.settings import Settings

FILE_NAME = "flower.password"


def flower_password(settings: Settings) -> str:
    """Return the password; a generated one is kept in `{home}/flower.password`, readable by its owner."""
    if settings.flower.password is not None:
        return settings.flower.password.get_secret_value()
    path = settings.home / FILE_NAME
    if not path.exists():
        settings.home.mkdir(parents=True, exist_ok=True)
        _generate(path)
    return path.read_text().strip()


def _generate(path: Path) -> None:
    # The password is written to a temporary file, which is then linked: of two processes that start together
    # one sets the password, and the other never reads half of it.
    with NamedTemporaryFile("w", dir=path.parent, prefix=FILE_NAME) as file:  # readable by its owner only
        file.write(secrets.token_urlsafe(12))
        file.flush()
        with suppress(FileExistsError):
            os.link(file.name, path)
