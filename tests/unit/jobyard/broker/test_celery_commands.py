"""The `celery` command says what is refused in one sentence."""

import sys
from collections.abc import Iterator

import click
import pytest
from celery.bin.call import call

from jobyard.broker.celery_commands import mend_commands, plainly
from jobyard.jobs.errors import JobNotFoundError


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = call.callback
    yield
    call.callback = before


@pytest.mark.parametrize("error", [JobNotFoundError("an-id"), TypeError("it is called add(x, y)")])
def test_what_a_command_refuses_is_said_without_a_traceback(error: Exception) -> None:
    def refuse(name: str) -> None:
        raise error

    with pytest.raises(click.ClickException, match=str(error).replace("(", r"\(").replace(")", r"\)")):
        plainly(refuse)("an-id")


def test_the_commands_of_this_process_are_changed_once() -> None:
    assert "celery.bin.call" in sys.modules
    mend_commands()
    changed = call.callback
    mend_commands()
    assert call.callback is changed
    assert hasattr(changed, "says_errors_plainly")
