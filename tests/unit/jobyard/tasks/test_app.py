"""`Jobyard` in the place of `Celery`: what it takes, what it refuses, and which tasks it makes."""

from collections.abc import Callable, Iterator
from typing import Any

import celery
import pytest
from celery import Celery
from flask import Flask, current_app

import jobyard
from jobyard import CallRefusedError, Jobyard, Task, TaskDeclarationError, shared_task
from jobyard.broker import celery_app
from jobyard.settings import SettingsError
from jobyard.tasks.housekeeping import prune
from jobyard.tasks.registry import known_task, register
from tests.support.one_app import restored_app


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with restored_app():
        yield


def make(name: str = "proj", **options: Any) -> Jobyard:
    return Jobyard(name, set_as_current=False, **options)


def test_it_is_the_celery_application_of_the_process() -> None:
    app = make()
    assert isinstance(app, Celery)
    assert app is celery_app.app
    assert app.main == "proj"


def test_a_second_one_of_the_same_name_is_the_same() -> None:
    assert make() is make()


def test_a_second_one_of_another_name_is_refused() -> None:
    make()
    with pytest.raises(SettingsError, match="this process has the application 'proj'"):
        make("other")


def test_it_becomes_the_current_application_as_in_celery() -> None:
    app = Jobyard("proj")
    current: Any = celery.current_app
    assert current._get_current_object() is app


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"broker": "redis://"}, "broker_url: set JOBYARD_BROKER__URL"),
        ({"backend": "redis://"}, "result_backend: results are in the ledger"),
        ({"task_serializer": "pickle"}, "task_serializer: a payload is JSON here"),
        ({"changes": {"result_expires": 60}}, "result_expires: set JOBYARD_LEDGER__RETENTION"),
        ({"amqp": "proj:AMQP"}, r"Jobyard\(amqp=...\): this part is Jobyard's own"),
    ],
)
def test_arguments_that_cannot_be_kept_name_the_setting(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        make(**options)


def test_the_task_decorator_is_that_of_jobyard() -> None:
    app = make()

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(name="sum of two", bind=True)
    def bound(self: Any, x: int) -> str:
        return f"{self.name} {x}"

    assert add.name == f"{__name__}.add"
    assert known_task(add.name) is add.definition
    assert add(1, 2) == 3
    assert bound(1) == "sum of two 1"
    assert app.tasks["sum of two"] is bound


def test_names_can_be_derived_in_another_way() -> None:
    class Shorter(Jobyard):
        def gen_task_name(self, name: str, module: str) -> str:
            return f"short.{name}"

    app = Shorter("proj", set_as_current=False)

    @app.task
    def add() -> None: ...

    assert add.name == "short.add"


def greeting_base(app: Jobyard) -> type[Task[..., Any]]:
    class Greeting(app.Task):  # type: ignore[name-defined,misc]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return f"Hello {self.run(*args, **kwargs)}"

    return Greeting


def test_task_cls_is_the_base_of_tasks_that_name_none() -> None:
    app = make(task_cls=greeting_base(make()))

    @app.task
    def say(name: str) -> str:
        return name

    assert say("Ada") == "Hello Ada"


def test_a_base_that_is_set_later_counts_for_earlier_tasks() -> None:
    app = make()

    @shared_task
    def say(name: str) -> str:
        return name

    class Own(Task[..., Any]):
        pass

    @shared_task(base=Own)
    def own(name: str) -> str:
        return name

    app.Task = greeting_base(app)
    assert say("Ada") == "Hello Ada"
    assert say.definition.call(say.payload("Ada")) == "Hello Ada"
    assert own("Ada") == "Ada"


def test_a_base_with_a_call_of_its_own_is_refused_where_a_task_is_a_coroutine() -> None:
    app = make()

    @shared_task
    def say(name: str) -> str:
        return name

    @shared_task
    async def later(name: str) -> str:
        return name

    with pytest.raises(TaskDeclarationError, match="would block the event loop"):
        app.Task = greeting_base(app)
    assert say("Ada") == "Ada"


def test_housekeeping_follows_the_default_queue_and_nothing_else() -> None:
    app = make()
    register(prune.definition)
    app.Task = greeting_base(app)
    app.conf.update(task_default_queue="usual", task_annotations={"*": {"max_retries": 0}})
    assert prune.definition.declaration.queue == "usual"
    assert prune.definition.policy.max_retries == 3
    assert not isinstance(prune, app.Task)
    app.conf.task_default_queue = None
    assert prune.definition.declaration.queue == "default"


def test_a_base_of_celerys_own_is_refused() -> None:
    app = make()
    with pytest.raises(TaskDeclarationError, match="derived from jobyard's Task"):
        app.Task = celery.Task


def test_the_pattern_of_flasks_documentation_works() -> None:
    def celery_init_app(flask_app: Flask) -> Jobyard:
        class FlaskTask(Task[..., Any]):
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                with flask_app.app_context():
                    return self.run(*args, **kwargs)

        celery_app = Jobyard(flask_app.name, task_cls=FlaskTask)
        celery_app.config_from_object(flask_app.config["CELERY"])
        celery_app.set_default()
        flask_app.extensions["celery"] = celery_app
        return celery_app

    @shared_task
    def name_of_app() -> str:
        return current_app.name

    flask_app = Flask("shop")
    flask_app.config.from_mapping(CELERY={"task_ignore_result": True, "task_default_queue": "shop"})
    celery_init_app(flask_app)
    celery_init_app(flask_app)  # as a factory does in each of its tests
    assert name_of_app.definition.call(name_of_app.payload()) == "shop"
    assert name_of_app.definition.declaration.queue == "shop"


def test_a_class_with_run_can_be_registered() -> None:
    app = make()

    class Multiply(Task[..., Any]):
        name = "multiply"
        queue = "math"

        def __init__(self) -> None:
            self.factor = 3

        def run(self, x: int) -> int:
            return self.factor * x

    task = app.register_task(Multiply())
    assert task.definition.declaration.queue == "math"
    assert task.definition.call(task.payload(2)) == 6
    assert known_task("multiply") is task.definition


@pytest.mark.parametrize("wrong", [object(), celery.Task()])
def test_what_is_no_task_cannot_be_registered(wrong: Any) -> None:
    with pytest.raises(TaskDeclarationError, match="must derive from jobyard's Task"):
        make().register_task(wrong)


def test_a_class_without_run_cannot_be_registered() -> None:
    class Idle(Task[..., Any]):
        name = "idle"

    with pytest.raises(TaskDeclarationError, match="has no method run"):
        make().register_task(Idle)


def test_workflows_are_refused_with_a_sentence() -> None:
    app: Any = make()
    uses: list[Callable[[], Any]] = [
        lambda: app.signature("a"),
        lambda: app.GroupResult,
        lambda: app.ResultSet,
    ]
    for use in uses:
        with pytest.raises(TaskDeclarationError, match="workflows are not there yet"):
            use()


def test_signing_messages_is_refused() -> None:
    with pytest.raises(SettingsError, match="messages are not signed"):
        make().setup_security()


def test_it_closes_like_any_other() -> None:
    with make() as app:
        assert app.now().tzinfo is not None


def test_receivers_hear_when_the_tasks_are_loaded_and_not_before() -> None:
    app = make()
    heard: list[str] = []

    @app.on_after_configure.connect
    def configured(sender: Any, **_: Any) -> None:
        heard.append("configured")
        sender.add_periodic_task(10.0, say.s("Ada"), name="greet")

    @app.on_after_finalize.connect
    def finalized(sender: Any, **_: Any) -> None:
        heard.append("finalized")

    @app.task
    def say(name: str) -> str:
        return name

    assert heard == []
    app.on_tasks_loaded()
    assert heard == ["configured", "finalized"]
    assert app.conf.beat_schedule["greet"]["args"] == ("Ada",)


def test_what_a_receiver_raises_is_not_lost() -> None:
    app = make()

    @app.on_after_configure.connect
    def plan(sender: Any, **_: Any) -> None:
        sender.add_periodic_task(10.0, "proj.say")

    with pytest.raises(TaskDeclarationError, match="takes a call of a task"):
        app.on_tasks_loaded()


def test_the_public_face_has_it() -> None:
    assert "Jobyard" in jobyard.__all__


def test_a_result_of_celerys_own_class_names_ours() -> None:
    result: Any = celery.result.AsyncResult("an-id", app=make())
    for ask in (lambda: result.state, lambda: result.info, result.ready, result.get):
        with pytest.raises(CallRefusedError, match="from jobyard import AsyncResult"):
            ask()


def test_an_import_of_jobyard_is_enough_for_its_tests_and_signals() -> None:
    assert {jobyard.__getattr__(name).__name__ for name in ("testing", "signals")} == {
        "jobyard.testing",
        "jobyard.signals",
    }


@pytest.mark.parametrize("name", ["chain", "group", "chord"])
def test_a_name_for_workflows_says_at_its_import_what_to_do(name: str) -> None:
    with pytest.raises(ImportError, match=rf"jobyard.{name}: .*come with workflows.*delay"):
        exec(f"from jobyard import {name}")
