"""What a task may say of itself, and that a wrong word fails at import with the right one beside it."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ConfigDict, Field, SecretStr

from jobyard.jobs.errors import Discard, TaskDeclarationError
from jobyard.tasks.payload import Payload
from jobyard.tasks.registry import declared, unregister
from jobyard.tasks.task import task
from tests.support.bad_tasks import deed
from tests.support.changed_settings import changed_settings


class Order(Payload):
    text: str = ""


def refused(**options: Any) -> str:
    name = options.pop("name", "test.refused")
    with pytest.raises(TaskDeclarationError) as error:
        task(name, **options)
    assert name in str(error.value)
    return str(error.value)


def test_a_misspelt_option_is_refused_with_the_right_name() -> None:
    assert "'max_retries'" in refused(max_retrys=3)
    assert "'retry_backoff'" in refused(retry_back_off=True)
    assert "the options are" in refused(zzz=1)


@pytest.mark.parametrize("name", ["mail", "Mail.send", "mail.", "mail send", "1.2"])
def test_a_name_is_noun_and_verb(name: str) -> None:
    assert "noun.verb" in refused(name=name)


def test_a_name_or_alias_is_taken_once() -> None:
    assert "already" in refused(name=deed.name)
    assert deed.name in refused(aliases=(deed.name,))
    assert "test.twice" in refused(aliases=("test.twice", "test.twice"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"queue": "no where"}, "cannot be called 'no where'"),
        ({"priority": 10}, "0 to 9"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": 0, "autoretry_for": (ValueError,)}, "drop one"),
        ({"autoretry_for": ("ValueError",)}, "exception classes"),
        ({"autoretry_for": (Discard,)}, "Discard"),
        ({"retry_backoff_max": 0}, "retry_backoff_max"),
        ({"default_retry_delay": -1}, "negative"),
        ({"time_limit": 0}, "longer than zero"),
        ({"max_age": -1}, "max_age"),
        ({"time_limit": 5, "soft_time_limit": 5}, "shorter"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], says: str) -> None:
    assert says in refused(**options)


def _two(one: Order, two: Order) -> None: ...
def _plain(text: str) -> None: ...
def _bare(order: Order): ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize(
    ("function", "says"), [(_two, "exactly one"), (_plain, "pydantic model"), (_bare, "return type")]
)
def test_a_function_takes_one_model_and_says_what_it_returns(function: Callable[..., Any], says: str) -> None:
    with pytest.raises(TaskDeclarationError, match=says):
        task("test.function")(function)
    assert "test.function" not in declared


def test_a_declared_task_is_still_a_function() -> None:
    @task("test.echo", queue="email", priority=7)
    def echo(order: Order) -> Order:
        """Say it again."""
        return order

    try:
        assert echo(Order(text="hi")) == Order(text="hi")
        assert (echo.definition.declaration.queue, echo.definition.declaration.priority) == ("email", 7)
        assert echo.__doc__ == "Say it again."
        assert echo.definition.payload_schema["properties"]["text"]["type"] == "string"
    finally:
        unregister("test.echo")


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({}, (7200, 7205)),
        ({"time_limit": 30}, (30, 35)),
        ({"soft_time_limit": 30}, (30, 35)),
        ({"soft_time_limit": 30, "time_limit": 31}, (30, 31)),
    ],
)
def test_every_task_has_limits(options: Any, limits: tuple[float, float]) -> None:
    name = f"test.limited_by_{'_and_'.join(options) or 'a_setting'}"
    with changed_settings(TASKS__TIME_LIMIT="PT2H"):
        definition = task(name, **options)(_secretless).definition
        unregister(name)
    assert (definition.soft_limit, definition.hard_limit) == limits


def _secretless(order: Order) -> None: ...


class Secretive(Payload):
    password: SecretStr


class Renamed(Payload):
    model_config = ConfigDict(validate_by_name=False)
    number: int = Field(0, validation_alias="no")


def _secretive(order: Secretive) -> None: ...


def _renamed(order: Renamed) -> None: ...


def test_a_secret_in_a_payload_is_refused_since_it_would_be_stored_as_asterisks() -> None:
    with pytest.raises(TaskDeclarationError, match=r"password.*asterisks"):
        task("test.secretive")(_secretive)


def test_a_model_that_does_not_read_what_it_writes_is_refused_before_a_job_is_accepted() -> None:
    try:
        renamed = task("test.renamed")(_renamed)
        with pytest.raises(TaskDeclarationError, match="cannot read the JSON"):
            renamed.definition.dump(Renamed.model_validate({"no": 1}))
    finally:
        unregister("test.renamed")


def test_only_the_tasks_own_payload_is_taken() -> None:
    with pytest.raises(TypeError, match="takes a Deed, not a Order"):
        deed.definition.dump(Order())  # type: ignore[arg-type]
