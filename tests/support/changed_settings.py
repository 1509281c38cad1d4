"""Other settings for the length of a block, read from the environment like any."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from jobyard.settings import ENV_PREFIX, Settings, get_settings


@contextmanager
def changed_settings(**changes: str) -> Iterator[Settings]:
    """Set `JOBYARD_...` variables in this process: `changed_settings(SMTP__TIMEOUT="1")`."""
    names = {f"{ENV_PREFIX}{name}": value for name, value in changes.items()}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    get_settings.cache_clear()
    try:
        yield get_settings()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        get_settings.cache_clear()
