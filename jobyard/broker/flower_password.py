"""Flower's password: the one that is set, or one that is made at first start and kept."""

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
        _make(path)
    return path.read_text().strip()


def _make(path: Path) -> None:
    # Written beside it and then linked, so that of two processes that start together one makes the
    # password, and the other never reads a half.
    with NamedTemporaryFile("w", dir=path.parent, prefix=FILE_NAME) as new:  # readable by its owner alone
        new.write(secrets.token_urlsafe(12))
        new.flush()
        with suppress(FileExistsError):
            os.link(new.name, path)
