"""What a task may say of itself, and that a wrong word fails at import with the right one beside it."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr, ValidationError, field_validator

from jobyard.jobs.errors import Discard, TaskDeclarationError
from jobyard.tasks.declare import task
from jobyard.tasks.payload import Payload
from jobyard.tasks.registry import unregister
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


def test_a_task_says_how_many_workers_its_jobs_may_lose() -> None:
    assert "max_losses must be 0 or more" in refused(max_losses=-1)

    def do(order: Order) -> None: ...

    own = task("test.never_again", max_losses=0)(do).definition
    other = task("test.as_the_settings_say")(do).definition
    try:
        assert (own.max_losses, other.max_losses, other.declared_max_losses) == (0, 2, None)
        with changed_settings(TASKS__MAX_LOSSES="1"):
            assert (own.max_losses, other.max_losses, other.declared_max_losses) == (0, 1, 1)
    finally:
        unregister(own.name)
        unregister(other.name)


def test_a_misspelt_option_is_refused_with_the_right_name() -> None:
    assert "'max_retries'" in refused(max_retrys=3)
    assert "'retry_backoff'" in refused(retry_back_off=True)
    assert "the options are" in refused(zzz=1)


def test_a_wrong_option_of_a_task_without_a_name_is_named_after_its_function() -> None:
    def fetch() -> None: ...

    with pytest.raises(TaskDeclarationError, match=rf"task '{__name__}\.fetch': rate_limit counts"):
        task(rate_limit="10/m")(fetch)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["", " mail", "mail ", "mail\n", "a\tb", "a" * 201, 7])
def test_a_name_is_printable_and_not_too_long(name: Any) -> None:
    with pytest.raises(TaskDeclarationError, match="1 to 200 printable characters"):
        task(name, queue="default")


@pytest.mark.parametrize("name", ["mail", "Mail.send", "product-of-two", "Länge berechnen", "b/c", "a" * 200])
def test_any_name_that_celery_takes_is_a_name(name: str) -> None:
    assert task(name)(_secretless).definition.name == name
    unregister(name)


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_means_another_path_is_refused(name: str) -> None:
    with pytest.raises(TaskDeclarationError, match="means another one"):
        task("test.stepping", aliases=(name,))


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


class Priced(Payload):
    price: float = 0

    @field_validator("price")
    @classmethod
    def _with_tax(cls, value: float) -> float:
        return value * 1.19


class Forgetful(Payload):
    name: str = ""
    note: str = Field("", exclude=True)


class OneWay(Payload):
    model_config = ConfigDict(validate_by_name=True)
    number: int = Field(0, serialization_alias="no")


class Loose(Payload):
    values: dict[str, Any] = Field(default_factory=dict)


def _priced(order: Priced) -> None: ...


def _forgetful(order: Forgetful) -> None: ...


def _one_way(order: OneWay) -> None: ...


def _loose(order: Loose) -> None: ...


@pytest.mark.parametrize(
    ("function", "unharmed", "changed", "words"),
    [
        (_priced, Priced(), Priced(price=100), r"'price' is 119.0 and comes back as 141.6"),
        (
            _forgetful,
            Forgetful(name="a"),
            Forgetful(name="a", note="b"),
            "'note' is 'b' and comes back as ''",
        ),
        (_one_way, None, OneWay(number=1), "cannot read the JSON"),
        (_loose, Loose(values={}), Loose(values={"at": (1, 2)}), "comes back as"),
    ],
)
def test_a_payload_that_would_come_back_as_another_is_refused_every_time(
    function: Any, unharmed: Payload | None, changed: Payload, words: str
) -> None:
    name = f"test.back{function.__name__}"
    definition = task(name)(function).definition
    unregister(name)
    if unharmed is not None:
        assert definition.decode(definition.dump(unharmed)) == unharmed
    for _ in range(2):
        with pytest.raises(TaskDeclarationError, match=words):
            definition.dump(changed)


class Circle(Payload):
    kind: Literal["circle"] = "circle"
    radius: float = 1


class Square(Payload):
    kind: Literal["square"] = "square"
    name: str = ""


Shape = Annotated[Circle | Square, Field(discriminator="kind")]


class Drawing(Payload):
    shapes: list[Shape]


class AnyShape(RootModel[Shape]):
    pass


def _draw(drawing: Drawing) -> None: ...


def _draw_one(shape: AnyShape) -> None: ...


def test_payloads_may_be_told_apart_by_a_field() -> None:
    draw, draw_one = task("test.draw")(_draw).definition, task("test.draw_one")(_draw_one).definition
    for name in ("test.draw", "test.draw_one"):
        unregister(name)
    drawing = Drawing(shapes=[Square(name="a"), Circle(radius=2)])
    assert draw.decode(draw.dump(drawing)) == drawing
    assert draw_one.decode(draw_one.dump(AnyShape(Square()))).root == Square()
    with pytest.raises(ValidationError, match=r"shapes.0.square.name\n.*NUL"):
        Drawing.model_validate_json('{"shapes": [{"kind": "square", "name": "\\u0000"}]}')


def _generator(order: Order) -> Iterator[int]:
    yield 1


async def _async_generator(order: Order) -> AsyncIterator[int]:
    yield 1


def _unknown_type(order: Order) -> threading.Thread: ...  # type: ignore[empty-body]


def _unresolved(order: Order) -> "Nowhere": ...  # type: ignore[name-defined]  # noqa: F821


class Callback(Payload):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    function: Callable[[], None] | None = None


def _callback(order: Callback) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_generator, "a yield"),
        (_async_generator, "a yield"),
        (_unknown_type, "return type"),
        (_unresolved, "Nowhere"),
        (_callback, "Callback has no JSON schema"),
    ],
)
def test_a_function_that_cannot_be_a_task_is_refused_in_a_sentence(function: Any, words: str) -> None:
    with pytest.raises(TaskDeclarationError, match=f"'test.impossible'.*{words}"):
        task("test.impossible")(function)


@pytest.mark.parametrize("value", ["a\0b", float("inf"), 10**5000], ids=["nul", "infinity", "huge"])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [{"deep": (v,)}], lambda v: {v: 1}, lambda v: {v}])
def test_what_no_ledger_can_keep_is_refused_wherever_it_is(value: Any, wrap: Any) -> None:
    with pytest.raises(ValidationError, match="holds a"):
        Anything(value=wrap(value))
    with pytest.raises(ValidationError, match="holds a"):
        Anything(value=Plain(value=wrap(value)))


class Plain(BaseModel):
    value: Any


class Anything(Payload):
    value: Any


def test_only_the_tasks_own_payload_is_taken() -> None:
    with pytest.raises(TypeError, match="takes a Deed, not a Order"):
        deed.definition.dump(Order())
