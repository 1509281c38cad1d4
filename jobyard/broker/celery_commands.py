"""The `celery` command: `purge` is refused, and what `call` and `result` refuse is one sentence."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, NoReturn

import click

from jobyard.broker.remote_control import NO_PURGE
from jobyard.jobs.errors import JobyardError

_COMMANDS: Final = ("call", "result")


def mend_commands() -> None:
    """Change the commands, in a process that is the `celery` command."""
    module: Any = sys.modules.get("celery.bin.purge")
    if module is not None:
        module.purge.callback = _refuse
    for name in _COMMANDS:
        module = sys.modules.get(f"celery.bin.{name}")
        command = getattr(module, name, None)
        if command is not None and not hasattr(command.callback, "says_errors_plainly"):
            command.callback = plainly(command.callback)


def plainly(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Return the callback of a command, which now says in one sentence what is wrong with its call."""

    @wraps(callback)
    def called(*arguments: Any, **options: Any) -> Any:
        try:
            return callback(*arguments, **options)
        except (JobyardError, TypeError, ValueError) as error:
            raise click.ClickException(str(error)) from error

    called.says_errors_plainly = True  # type: ignore[attr-defined]
    return called


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise click.ClickException(NO_PURGE)
