"""Which queues a process knows: of its tasks, its application, its settings, and of other processes."""

from types import SimpleNamespace

import pytest

from jobyard.jobs.errors import QueueNotFoundError, TaskDeclarationError
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.declared_queues import declare_queues, known_queues
from jobyard.settings.queues import DEFAULT_QUEUE, Queue, QueueKind, queues_by_name
from jobyard.tasks import queues as module
from jobyard.tasks.queues import (
    check_queue,
    declare_queue,
    declared_queues,
    misspelt_queues,
    record_queue,
)

GPU = Queue("gpu", "previews", QueueKind.PREFORK)

pytestmark = pytest.mark.parametrize("own_ledger", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def nothing_declared(monkeypatch: pytest.MonkeyPatch, own_ledger: Ledger) -> None:
    """A process without tasks, whose ledger is a test's own."""
    for name in ("_declared_by_tasks", "_named_by_tasks"):
        monkeypatch.setattr(module, name, {})
    for cache in (module._trusted_until, module._recorded):
        cache.cache_clear()
    monkeypatch.setattr(module, "get_ledger", lambda: own_ledger)
    set_up(monkeypatch)


def set_up(
    monkeypatch: pytest.MonkeyPatch, *, application: tuple[Queue, ...] = (), settings: tuple[Queue, ...] = ()
) -> None:
    monkeypatch.setattr(module, "get_settings", lambda: SimpleNamespace(queues=settings))
    of_application = queues_by_name((DEFAULT_QUEUE, *application))
    monkeypatch.setattr(module, "_queues_of_application", lambda: of_application)


def test_a_queue_that_a_task_names_is_known_and_served_by_threads() -> None:
    assert declare_queue("reports", "report.write") == "reports"
    assert declared_queues()["reports"] == Queue("reports")
    check_queue("reports")


def test_a_queue_that_is_nearly_a_declared_one_is_a_warning_that_names_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_up(monkeypatch, application=(Queue("email"), Queue("images")), settings=(Queue("reports"),))
    declare_queue(GPU, "preview.draw")
    for name in ("email", "images", "reports", "gpu", "images2", "email-bulk", "thumbnails"):
        declare_queue(name, "task.right")
    assert list(misspelt_queues()) == []
    for name in ("emial", "report", "imagse"):
        declare_queue(name, "task.wrong")
    assert [sentence.partition("?")[0] for sentence in misspelt_queues()] == [
        "task 'task.wrong' names the queue 'emial', which nothing declares; is it 'email'",
        "task 'task.wrong' names the queue 'report', which nothing declares; is it 'reports'",
        "task 'task.wrong' names the queue 'imagse', which nothing declares; is it 'images'",
    ]
    declare_queue(Queue("report"), "task.other")
    assert len(list(misspelt_queues())) == 2


def test_a_queue_that_a_task_declares_has_its_kind_and_purpose() -> None:
    declare_queue("gpu", "preview.list")
    declare_queue(GPU, "preview.draw")
    assert declared_queues()["gpu"] == GPU


def test_two_tasks_that_declare_one_queue_differently_are_both_named() -> None:
    declare_queue(GPU, "preview.draw")
    with pytest.raises(
        TaskDeclarationError,
        match=r"'gpu' is declared as threads, and by task 'preview.draw' as prefork",
    ):
        declare_queue(Queue("gpu"), "preview.list")


def test_a_task_that_declares_a_queue_otherwise_than_the_application_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_up(monkeypatch, application=(GPU,))
    declare_queue(Queue("gpu", "previews"), "preview.draw")
    with pytest.raises(TaskDeclarationError, match="by the application as prefork"):
        declared_queues()


def test_the_operators_setting_settles_it(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch, application=(GPU,), settings=(Queue("gpu"), Queue("night")))
    declare_queue(Queue("gpu", "previews"), "preview.draw")
    assert declared_queues()["gpu"].kind is QueueKind.THREADS
    assert "night" in declared_queues()
    check_queue("night")


@pytest.mark.parametrize("name", ["celery", "two words", "x" * 200])
def test_a_name_that_cannot_be_is_refused_with_the_task(name: str) -> None:
    with pytest.raises(TaskDeclarationError, match=r"task 'report\.write': a queue cannot be called"):
        declare_queue(name, "report.write")


def test_a_queue_that_no_process_declared_is_refused_with_the_list(own_ledger: Ledger) -> None:
    declare_queue("reports", "report.write")
    declare_queues(own_ledger.database, {"gpu": GPU})
    with pytest.raises(QueueNotFoundError) as error:
        check_queue("repots")
    assert error.value.name == "repots"
    assert {"default", "gpu", "reports"} <= set(error.value.known)
    assert "there is no queue 'repots'; the queues are: " in str(error.value)


def test_a_queue_that_another_process_declared_is_looked_up_once(
    own_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare_queues(own_ledger.database, {"gpu": GPU})
    check_queue("gpu")
    monkeypatch.setattr(module, "known_queues", lambda database: pytest.fail("it was asked again"))
    check_queue("gpu")


def test_the_first_job_of_a_queue_makes_it_known_to_other_processes(own_ledger: Ledger) -> None:
    declare_queue(GPU, "preview.draw")
    assert "gpu" not in known_queues(own_ledger.database)
    record_queue("gpu")
    assert known_queues(own_ledger.database)["gpu"].kind is QueueKind.PREFORK
