"""Passwords that are generated at the first start and kept in a file of their own."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from jobyard.settings.errors import SettingsError


def generated_password(path: Path) -> str:
    """Return the password in a file, which only its owner can read, and generate it if there is none.

    Raises `SettingsError` where the file cannot be read or written.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _generate(path)
        return path.read_text().strip()
    except OSError as error:
        raise SettingsError(
            f"JOBYARD_HOME: the password in {path} cannot be read or generated: {error.strerror}. "
            "Name a folder that this user can write"
        ) from error


def _generate(path: Path) -> None:
    # The password is written to a temporary file, which is then linked: of two processes that start together
    # one sets the password, and the other never reads half of it.
    with NamedTemporaryFile("w", dir=path.parent, prefix=path.name) as file:  # readable by its owner only
        file.write(secrets.token_urlsafe(12))
        file.flush()
        with suppress(FileExistsError):
            os.link(file.name, path)
