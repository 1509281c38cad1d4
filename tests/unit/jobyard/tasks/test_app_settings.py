"""Celery's settings in `app.conf`: honoured, harmless, or refused with the setting that says it here."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kombu import Exchange, Queue
from kombu.common import Broadcast

from jobyard import Jobyard, shared_task
from jobyard.settings import SettingsError, get_settings
from jobyard.settings.celery_keys import CELERY_KEYS, Meaning, old_name
from jobyard.tasks.app_defaults import app_defaults
from jobyard.tasks.options import JobOptions
from jobyard.tasks.queues import declared_queues
from jobyard.tasks.registry import unregister
from jobyard.tasks.submission import new_job, new_jobs
from jobyard.tasks.task import Task
from tests.support.changed_settings import changed_settings
from tests.support.one_app import restored_app


@pytest.fixture
def app() -> Iterator[Jobyard]:
    with restored_app():
        yield Jobyard("proj", set_as_current=False)


def plain(name: str = "proj.tasks.add", **options: Any) -> Task[..., Any]:
    def add(x: int = 0, y: int = 0) -> int:
        return x + y

    declare: Any = shared_task(name=name, **options)
    declared: Task[..., Any] = declare(add)
    return declared


REFUSED = [key for key in CELERY_KEYS.values() if key.meaning is Meaning.REFUSED]
HARMLESS = [key for key in CELERY_KEYS.values() if key.meaning is Meaning.HARMLESS]


@pytest.mark.parametrize("key", REFUSED, ids=lambda key: key.name)
def test_what_is_refused_says_what_to_do_under_either_name(app: Jobyard, key: Any) -> None:
    for name in (key.name, old_name(key.name)):
        with pytest.raises(SettingsError, match=re.escape(f"{key.name}: {key.sentence}")):
            app.conf[name] = "x"


@pytest.mark.parametrize("key", HARMLESS, ids=lambda key: key.name)
def test_what_is_harmless_is_listed_and_changes_nothing(app: Jobyard, key: Any) -> None:
    before = app.conf.get(key.name)
    app.conf[key.name] = "x"
    assert app.conf.harmless[key.name] == key.sentence
    assert app.conf.get(key.name) == before


def test_all_that_is_refused_is_named_at_once_and_nothing_is_set(app: Jobyard) -> None:
    with pytest.raises(SettingsError) as caught:
        app.conf.update(broker_url="redis://", result_backend="rpc://", task_default_queue="math")
    assert "broker_url: " in str(caught.value)
    assert "result_backend: " in str(caught.value)
    assert "queue" not in app_defaults().options


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("task_serializer", "json"),
        ("accept_content", ["json"]),
        ("enable_utc", True),
        ("broker_url", None),
        ("result_backend", None),
    ],
)
def test_a_value_that_says_what_is_so_anyway_is_harmless(app: Jobyard, key: str, value: object) -> None:
    app.conf[key] = value


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("accept_content", ["json", "pickle"], "a payload is JSON here"),
        ("task_default_queue", "my queue", "a queue cannot be called"),
        ("task_time_limit", "ten", "write seconds, more than zero"),
        ("task_soft_time_limit", 0, "write seconds, more than zero"),
        ("worker_concurrency", 0, "write a whole number, 1 or more"),
        ("worker_max_tasks_per_child", True, "write a whole number"),
        ("timezone", "Mars/Olympus", "is no time zone"),
        ("imports", 3, "write the names of modules"),
        ("beat_schedule", ["add"], "write {NAME: "),
        ("task_queues", "math", "write a list"),
        ("task_queues", 3, "write a list of queues"),
        ("task_queues", [3], r"write kombu's Queue"),
        ("task_queues", [Queue("a", Exchange("a", type="topic"))], "a job goes to one queue"),
        ("task_queues", [Broadcast("everyone")], "a job goes to one queue"),
        ("task_queues", {"a": {"exchange": "a", "exchange_type": "fanout"}}, "a job goes to one queue"),
        ("task_queues", [Queue("a b")], "a queue cannot be called"),
        ("task_routes", 3, "write a dictionary"),
        ("task_routes", {"a": 3}, r"write a queue"),
        ("task_routes", {"a": {"exchange": "media"}}, "a job goes to one queue"),
        ("task_routes", {"a": {"queue": "math", "routing_key": "a.#"}}, "a job goes to one queue"),
        ("task_routes", {"a": {"queue": "a b"}}, "a queue cannot be called"),
        ("task_routes", {"a": {"queue": "math", "delivery_mode": 1}}, "sets delivery_mode"),
        ("task_routes", {"a": {"priority": 5}}, "JOBYARD_CELERY__PRIORITY"),
        ("task_default_priority", 5, "JOBYARD_CELERY__PRIORITY"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(app: Jobyard, key: str, value: Any, sentence: str) -> None:
    with pytest.raises(SettingsError, match=f"{key}.*{sentence}"):
        app.conf[key] = value


def test_test_mode_is_switched_as_in_celery(app: Jobyard) -> None:
    @app.task(name="app.eager")
    def divide(x: int) -> int:
        return 6 // x

    app.conf.update(task_always_eager=True, task_eager_propagates=True)
    try:
        assert divide.delay(2).get() == 3
        with pytest.raises(ZeroDivisionError):
            divide.delay(0)
        app.conf.task_eager_propagates = False
        assert divide.delay(0).failed()
    finally:
        app.conf.task_always_eager = False
        unregister("app.eager")
    assert not get_settings().tasks.eager


def test_settings_can_be_given_in_every_way_of_celerys(app: Jobyard) -> None:
    app.conf.task_time_limit = 60
    app.conf["task_soft_time_limit"] = 50
    app.conf.update({"task_default_queue": "math"})
    app.add_defaults(lambda: {"task_time_limit": 70})
    assert app_defaults().options == {"time_limit": 70, "soft_time_limit": 50, "queue": "math"}


def test_the_configuration_cannot_be_cleared(app: Jobyard) -> None:
    with pytest.raises(SettingsError, match="cannot be cleared"):
        app.conf.clear()


def test_a_key_of_the_projects_own_is_kept(app: Jobyard) -> None:
    app.conf.update(shop_name="Ada's")
    assert app.conf.shop_name == "Ada's"
    assert app.conf.misspelt == {}


def test_a_misspelt_key_is_found(app: Jobyard) -> None:
    app.conf.update(task_route={"a": "math"})
    assert app.conf.misspelt == {"task_route": "task_routes"}


class TestConfigFromObject:
    def test_an_object(self, app: Jobyard) -> None:
        app.config_from_object(SimpleNamespace(task_default_queue="math", PRICE=3, helper=print))
        assert app_defaults().options["queue"] == "math"
        assert "PRICE" not in app.conf

    def test_a_mapping_with_a_namespace(self, app: Jobyard) -> None:
        app.config_from_object({"CELERY_TASK_DEFAULT_QUEUE": "math", "DEBUG": True}, namespace="CELERY")
        assert app_defaults().options["queue"] == "math"
        assert "DEBUG" not in app.conf

    def test_old_names(self, app: Jobyard) -> None:
        app.config_from_object({"CELERY_DEFAULT_QUEUE": "math", "CELERYD_TASK_TIME_LIMIT": 60})
        assert app_defaults().options == {"queue": "math", "time_limit": 60}

    def test_a_module(self, app: Jobyard, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "config_of_shop.py").write_text("import os\ntask_default_queue = 'math'\n")
        monkeypatch.syspath_prepend(tmp_path)
        app.config_from_object("config_of_shop")
        assert app_defaults().options["queue"] == "math"

    def test_a_module_that_the_environment_names(
        self, app: Jobyard, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "config_of_market.py").write_text("task_default_queue = 'math'\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("MARKET_CONFIG", "config_of_market")
        app.config_from_envvar("MARKET_CONFIG")
        assert app_defaults().options["queue"] == "math"

    def test_a_module_that_is_not_there(self, app: Jobyard) -> None:
        with pytest.raises(SettingsError, match=r"config_from_object.*no_such_module"):
            app.config_from_object("no_such_module")
        app.config_from_object("no_such_module", silent=True)

    @pytest.mark.parametrize("wrong", [None, 3, ["task_default_queue"]])
    def test_what_is_no_configuration(self, app: Jobyard, wrong: Any) -> None:
        with pytest.raises(SettingsError, match="name a module"):
            app.config_from_object(wrong)

    def test_what_is_refused_in_it(self, app: Jobyard) -> None:
        with pytest.raises(SettingsError, match="result_backend: results are in the ledger"):
            app.config_from_object({"CELERY_RESULT_BACKEND": "redis://"}, namespace="CELERY")


class TestDefaultsOfTasks:
    def test_they_count_for_tasks_that_say_nothing_before_and_after(self, app: Jobyard) -> None:
        before = plain("a")
        app.conf.update(task_default_queue="usual", task_time_limit=60, task_soft_time_limit=50)
        after, own = plain("b"), plain("c", queue="math", time_limit=20)
        for task in (before, after):
            assert task.definition.declaration.queue == "usual"
            assert (task.definition.soft_limit, task.definition.hard_limit) == (50, 60)
        assert own.definition.declaration.queue == "math"
        assert own.definition.hard_limit < 50

    def test_none_takes_them_back(self, app: Jobyard) -> None:
        task = plain()
        app.conf.task_default_queue = "usual"
        app.conf.task_default_queue = None
        assert task.definition.declaration.queue == "default"

    def test_celerys_name_of_the_default_queue_is_ours(self, app: Jobyard) -> None:
        app.conf.update(task_default_queue="celery", task_queues=[Queue("celery"), "high"])
        assert plain().definition.declaration.queue == "default"
        assert plain("b", queue="celery").definition.declaration.queue == "default"
        assert {"default", "high"} <= declared_queues().keys()
        assert "celery" not in declared_queues()

    def test_annotations_win(self, app: Jobyard) -> None:
        task = plain("a", max_retries=1)
        app.conf.task_annotations = {"a": {"max_retries": 7}, "*": {"time_limit": 60}}
        assert task.definition.policy.max_retries == 7
        assert task.definition.declaration.time_limit == 60

    def test_an_annotation_may_replace_a_method(self, app: Jobyard) -> None:
        heard = []
        task = plain("a")
        app.conf.task_annotations = {"a": {"on_failure": lambda self, *args: heard.append(args)}}
        hook: Any = task
        hook.on_failure(ValueError(), "id", (), {}, None)
        assert len(heard) == 1

    def test_an_annotation_with_a_rate_limit_is_refused(self, app: Jobyard) -> None:
        plain("a")
        with pytest.raises(SettingsError, match="rate_limit counts for one worker"):
            app.conf.task_annotations = {"*": {"rate_limit": "10/s"}}

    @pytest.mark.parametrize(("meaning", "priority"), [("high_first", 8), ("redis", 1)])
    def test_priorities_are_read_as_the_setting_says(self, app: Jobyard, meaning: str, priority: int) -> None:
        task = plain()
        with changed_settings(CELERY__PRIORITY=meaning):
            app.conf.task_default_priority = 8
            assert task.definition.declaration.priority == priority
            app.conf.task_default_priority = None

    def test_a_time_zone_counts_at_once(self, app: Jobyard) -> None:
        assert str(app.timezone) == "UTC"
        app.conf.timezone = "Europe/Berlin"
        assert str(app.timezone) == "Europe/Berlin"


class TestRoutes:
    @pytest.mark.parametrize(
        "routes",
        [
            {"proj.tasks.add": "math"},
            {"proj.tasks.add": {"queue": "math"}},
            {"proj.tasks.add": {"queue": "math", "routing_key": "math", "exchange": "math"}},
            {"proj.*": {"queue": "math"}},
            {re.compile(r"proj\.(tasks|jobs)\..*"): {"queue": Queue("math")}},
            ([("other.*", "other"), ("proj.*", "math")],),
            [{"other": "other"}, {"proj.tasks.add": "math"}],
        ],
    )
    def test_by_name_they_are_the_tasks_queue(self, app: Jobyard, routes: Any) -> None:
        task = plain()
        app.conf.task_routes = routes
        assert task.definition.declaration.queue == "math"
        assert "math" in declared_queues()
        assert task.definition.router is None

    def test_a_queue_of_the_tasks_own_wins_as_in_celery(self, app: Jobyard) -> None:
        app.conf.task_routes = {"proj.*": "math"}
        assert plain(queue="own").definition.declaration.queue == "own"

    def test_a_function_is_asked_for_each_job(self, app: Jobyard) -> None:
        asked: list[Any] = []

        def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **kw: Any) -> Any:
            asked.append((name, args, kwargs, task))
            return {"queue": "large"} if kwargs.get("x", 0) > 100 else None

        app.conf.update(task_queues=["large"], task_default_queue="usual")
        app.conf.task_routes = (route,)
        task = plain()
        definition = task.definition
        queues = [
            new.queue for new in new_jobs(definition, [task.payload(1), task.payload(1000)], JobOptions())
        ]
        assert queues == ["usual", "large"]
        assert asked == [(task.name, (), {"x": 1}, task), (task.name, (), {"x": 1000}, task)]

    def test_a_function_does_not_move_a_call_that_names_its_queue(self, app: Jobyard) -> None:
        app.conf.update(task_queues=["large"], task_routes=lambda *args, **kw: "large")
        task = plain()
        new = new_job(task.definition, "{}", JobOptions(queue="default"))
        assert new.queue == "default"

    def test_a_function_with_a_wrong_answer_is_named(self, app: Jobyard) -> None:
        app.conf.task_routes = lambda *args, **kw: {"exchange": "media"}
        with pytest.raises(Exception, match=r"task_routes: the route of 'proj.tasks.add'.*one queue"):
            new_job(plain().definition, "{}", JobOptions())


def test_what_the_command_sets_by_itself_is_not_listed(app: Jobyard) -> None:
    app.conf.worker_disable_prefetch = False  # as `celery worker` does
    assert "worker_disable_prefetch" not in app.conf.harmless
