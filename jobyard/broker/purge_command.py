"""`celery purge` is refused: the keeper would publish the jobs again."""

import sys
from typing import Any, NoReturn

import click

from jobyard.broker.remote_control import NO_PURGE


def refuse_purge() -> None:
    """Make the command say so, in a process that is the `celery` command."""
    module: Any = sys.modules.get("celery.bin.purge")
    if module is not None:
        module.purge.callback = _refuse


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise click.ClickException(NO_PURGE)
