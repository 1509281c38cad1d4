"""Tasks of any signature: what a call becomes as JSON, and with what the function is called then."""

import enum
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Optional

import pytest
from pydantic import BaseModel, ValidationError

from jobyard.jobs.errors import ResultRefusedError, TaskDeclarationError
from jobyard.tasks.declare import shared_task, task
from jobyard.tasks.registry import declared
from jobyard.tasks.task import Task

pytestmark = pytest.mark.usefixtures("tasks_are_forgotten")


def travelled(made: Task[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what the function returns to a worker that has read the payload of a call."""
    definition = made.definition
    return definition.call(definition.decode(definition.dump(made.payload(*args, **kwargs))))


def written(made: Task[..., Any], *args: Any, **kwargs: Any) -> str:
    return made.definition.dump(made.payload(*args, **kwargs))


class Colour(enum.Enum):
    RED = "red"


class Word(str, enum.Enum):  # noqa: UP042 - what people have
    A = "a"


class Level(enum.IntEnum):
    HIGH = 9


@dataclass
class Point:
    x: int
    y: int = 0


class Person(BaseModel):
    name: str


def test_positional_arguments_are_named_and_those_that_are_left_out_stay_out() -> None:
    @task
    def add(x, y=2, *, z=3):  # type: ignore[no-untyped-def]
        return x + y + z

    assert written(add, 1) == '{"x":1}'
    assert written(add, 1, z=5) == '{"x":1,"z":5}'
    assert (travelled(add, 1), travelled(add, 1, 1), travelled(add, y=0, x=0, z=0)) == (6, 5, 0)
    assert add(1, 2, z=3) == 6


def test_no_parameters_are_an_empty_object() -> None:
    @shared_task
    def tick():  # type: ignore[no-untyped-def]
        return "tock"

    assert (written(tick), travelled(tick)) == ("{}", "tock")
    with pytest.raises(TypeError, match="too many positional arguments"):
        tick.payload(1)  # type: ignore[call-arg]


def test_more_arguments_are_two_fields() -> None:
    @task
    def gather(first: int, *rest: int, **named: Any) -> Any:
        return first, rest, named

    assert written(gather, 1, 2, 3, a=4) == '{"first":1,"rest":[2,3],"named":{"a":4}}'
    assert travelled(gather, 1, 2, 3, a=4) == (1, (2, 3), {"a": 4})
    assert travelled(gather, 1) == (1, (), {})
    with pytest.raises(ValidationError, match=r"rest\.1"):
        gather.payload(1, 2, "three")  # type: ignore[arg-type]


def test_parameters_by_position_alone_keep_their_place() -> None:
    @task
    def divide(x, y=2, /, digits=1, *more):  # type: ignore[no-untyped-def]
        return [x, y, digits, *more]

    assert travelled(divide, 8) == [8, 2, 1]
    assert travelled(divide, 8, 4, 3, 0) == [8, 4, 3, 0]
    read = divide.definition.decode('{"x": 8, "digits": 5, "more": [6]}')
    assert divide.definition.call(read) == [8, 2, 5, 6]


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((), {}, "missing a required argument: 'x'"),
        ((1, 2, 3), {}, "too many positional"),
        ((1,), {"x": 1}, "multiple values"),
        ((1,), {"z": 1}, "unexpected keyword argument 'z'"),
    ],
)
def test_a_wrong_call_fails_where_it_is_made_and_shows_how_it_is_called(
    args: Any, kwargs: Any, says: str
) -> None:
    @task("test.called_wrongly")
    def add(x: int, y: int = 0) -> int:
        return x + y

    with pytest.raises(TypeError, match=says) as error:
        add.delay(*args, **kwargs)
    assert "it is called test.called_wrongly(x: int, y: int = 0)" in str(error.value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (datetime, datetime(2030, 1, 31, 12, tzinfo=UTC)),
        (date, date(2030, 1, 31)),
        (timedelta, timedelta(minutes=5)),
        (uuid.UUID, uuid.UUID(int=7)),
        (Decimal, Decimal("1.10")),
        (Colour, Colour.RED),
        (Level, Level.HIGH),
        (Point, Point(1, 2)),
        (Person, Person(name="Ada")),
        (Optional[datetime], None),  # noqa: UP045 - what people have
        (tuple[int, str], (1, "a")),
        (set[int], {1, 2}),
        (list[Point], [Point(1)]),
        (dict[str, Decimal], {"a": Decimal("0.1")}),
        (bytes, b"bytes"),
    ],
    ids=str,
)
def test_what_is_annotated_arrives_as_what_it_was(annotation: Any, value: Any) -> None:
    def keep(value, more=None):  # type: ignore[no-untyped-def]
        return value

    keep.__annotations__ = {"value": annotation}
    arrived = travelled(task(keep), value)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        ({1: "a", None: {True: 2}}, {"1": "a", "null": {"true": 2}}),
        (OrderedDict(a=1), {"a": 1}),
        (Word.A, "a"),
        (Level.HIGH, 9),
        (True, True),
        (None, None),
        (1.5, 1.5),
    ],
)
def test_without_an_annotation_arguments_arrive_as_json_says_them(value: Any, arrives: Any) -> None:
    @task
    def keep(value, note=None):  # type: ignore[no-untyped-def]
        return value

    arrived = travelled(keep, value)
    assert (arrived, type(arrived)) == (arrives, type(arrives))
    assert travelled(keep, {"deep": [value]}) == {"deep": [arrives]}


_ITSELF: list[Any] = []
_ITSELF.append(_ITSELF)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (datetime(2030, 1, 1), "a datetime, which JSON has no word for: annotate the parameter"),
        (uuid.UUID(int=1), "a UUID"),
        (Decimal(1), "a Decimal"),
        (b"a", "a bytes"),
        ({1}, "a set"),
        (object(), "an? object"),
        ({(1, 2): 3}, "the key \\(1, 2\\)"),
        (float("nan"), "not finite"),
        ("a\0b", "NUL"),
        (_ITSELF, "nested too deeply"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("annotation", [None, Any, list, list[Any], dict[str, Any]], ids=str)
def test_what_json_cannot_say_is_refused_at_the_call(annotation: Any, value: Any, says: str) -> None:
    def keep(value, note=None):  # type: ignore[no-untyped-def]
        return value

    if annotation is not None:
        keep.__annotations__ = {"value": annotation}
    kind = getattr(annotation, "__origin__", annotation)
    given = [value] if kind is list else {"a": value} if kind is dict else value
    with pytest.raises(ValidationError, match=rf"value[\s\S]*{says}"):
        task(keep).payload(given)


def test_a_default_needs_not_be_json_and_is_the_functions_own() -> None:
    nobody = object()

    @task
    def find(name="Ada", whom=nobody, among=[]):  # type: ignore[no-untyped-def]  # noqa: B006
        return whom is nobody, among

    assert written(find) == "{}"
    assert travelled(find, "Bob") == (True, [])
    shown = find.definition.payload_schema["properties"]
    assert shown["name"]["default"] == "Ada"
    assert "default" not in shown["whom"]
    assert "required" not in find.definition.payload_schema


@pytest.mark.parametrize(
    "name",
    [
        "self",
        "payload",
        "options",
        "schema",
        "copy",
        "json",
        "model_config",
        "model_dump",
        "_hidden",
        "cls",
        "args",
    ],
)
def test_a_parameter_may_have_any_name(name: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def keep({name}, {name.upper()}=0): return [{name}, {name.upper()}]", scope)
    made = task(scope["keep"])
    assert written(made, 1) == f'{{"{name}":1}}'
    assert travelled(made, **{name: 1, name.upper(): 2}) == [1, 2]
    assert list(made.definition.payload_schema["properties"]) == [name, name.upper()]


def test_one_model_is_the_payload_itself() -> None:
    @task("test.greet_one")
    def greet(person: Person) -> str:
        return person.name

    assert written(greet, Person(name="Ada")) == written(greet, person={"name": "Ada"}) == '{"name":"Ada"}'
    assert travelled(greet, {"name": "Ada"}) == "Ada"


def test_bind_gives_the_function_its_task() -> None:
    @task(bind=True, queue="default")
    def bound(self, x):  # type: ignore[no-untyped-def]
        return self.name, x

    assert written(bound, 1) == '{"x":1}'
    assert travelled(bound, 1) == bound(1) == (bound.name, 1)


class Base(Task[..., Any]):
    opened = 0

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return super().__call__(*args, **kwargs)


def test_each_task_has_an_instance_of_its_base_whose_call_is_called() -> None:
    @task(base=Base, bind=True)
    def one(self: Base, x: int) -> int:
        return x + self.calls

    @task(base=Base)
    def other(x: int) -> int:
        return x

    assert isinstance(one, Base)
    assert (travelled(one, 10), one(10), travelled(other, 10)) == (11, 12, 10)


def test_without_a_name_a_task_is_called_after_its_module_and_function() -> None:
    @task
    def add() -> None: ...

    assert add.name == f"{__name__}.add"


def _takes_nothing() -> None: ...


def _unknown(one: int, thread: Callable[[], Any]) -> None: ...


class NotOurs:
    pass


def _not_ours(one: NotOurs) -> None: ...


async def _coroutine(one: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "says"),
    [
        (_takes_nothing, {"bind": True}, "bind=True gives"),
        (_not_ours, {}, "does not know the type of the parameter 'one'.*NotOurs"),
        (_takes_nothing, {"base": NotOurs}, "derived from jobyard's Task"),
        (_coroutine, {"base": Base}, "__call__ of its own"),
    ],
)
def test_what_cannot_be_a_task_says_so_at_its_declaration(function: Any, options: Any, says: str) -> None:
    with pytest.raises(TaskDeclarationError, match=f"'test.impossible'.*{says}"):
        task("test.impossible", **options)(function)
    assert "test.impossible" not in declared


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rate_limit": "10/m"}, "counts for one worker"),
        ({"exchange": "a"}, "one queue"),
        ({"serializer": "pickle"}, "a payload is JSON here"),
    ],
)
def test_an_option_of_celery_that_cannot_be_kept_names_the_way_out(options: Any, says: str) -> None:
    with pytest.raises(TaskDeclarationError, match=says):
        task("test.impossible", **options)


def test_options_of_celery_that_mean_nothing_here_are_taken() -> None:
    task("test.harmless", acks_late=True, ignore_result=True, track_started=True, serializer="json")(
        _takes_nothing
    )
    assert "test.harmless" in declared


def test_without_a_return_annotation_the_result_is_any_json() -> None:
    @task
    def bare(x):  # type: ignore[no-untyped-def]
        return x

    assert (
        bare.definition.encode({"at": date(2030, 1, 1), "n": (1, None)}) == '{"at":"2030-01-01","n":[1,null]}'
    )
    with pytest.raises(ResultRefusedError, match="does not fit"):
        bare.definition.encode(object())


def test_http_takes_the_arguments_by_their_names() -> None:
    @task
    def add(x: int, y: int = 2) -> int:
        return x + y

    assert add.definition.call(add.definition.validate_json(b'{"x": 1, "y": 3}')) == 4
    for body, says in ((b'{"y": 1}', "x\n"), (b'{"x": 1, "z": 1}', "z\n"), (b'{"x": "one"}', "x\n")):
        with pytest.raises(ValidationError, match=says):
            add.definition.validate_json(body)


def test_parameters_that_differ_in_underscores_alone_are_different_fields() -> None:
    @task
    def odd(_x, __x, parameter_x, json, parameter_json, _, __):  # type: ignore[no-untyped-def]
        return [_x, __x, parameter_x, json, parameter_json, _, __]

    assert travelled(odd, *range(7)) == [*range(7)]
    assert written(odd, *range(7)).startswith('{"_x":0,"__x":1,"parameter_x":2,')


class Untold(enum.Enum):
    A = object()


def _wraps_itself(value: int) -> int:
    return value


_wraps_itself.__wrapped__ = _wraps_itself  # type: ignore[attr-defined]


def _annotated(told: object) -> Callable[..., Any]:
    def function(value: Any) -> Any: ...

    function.__annotations__ = {"value": told}
    return function


@pytest.mark.parametrize(
    "function",
    [
        *(_annotated(told) for told in ("1 +", "1/0", "Any.nope", Untold)),
        *(partial(print, 1), max, int, None, classmethod(print), _wraps_itself),
    ],
    ids=lambda function: type(function).__name__,
)
def test_what_cannot_be_read_as_a_function_says_so_at_its_declaration(function: Any) -> None:
    with pytest.raises(TaskDeclarationError, match=r"test\.odd"):
        task("test.odd")(function)


def test_a_default_with_more_digits_than_can_be_read_is_not_shown() -> None:
    @task
    def count(up_to: int = 10**5000) -> bool:
        return up_to == 10**5000

    assert travelled(count) is True
    assert "default" not in count.definition.payload_schema["properties"]["up_to"]


def test_what_no_worker_could_read_is_refused_at_the_call() -> None:
    @task
    def take(value: Any) -> None: ...

    written(take, [])
    deep: list[Any] = []
    for _ in range(250):
        deep = [deep]
    with pytest.raises(ValidationError, match="too deeply"):
        take.payload(deep)
    with pytest.raises(ValidationError, match="surrogates not allowed"):
        take.payload({"\ud800": 1})
