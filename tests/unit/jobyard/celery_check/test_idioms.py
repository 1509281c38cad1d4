"""Each idiom of Celery's: it moves, or the sentence says what to do instead."""

from pathlib import Path

import pytest

from tests.unit.jobyard.celery_check.code_base import about, checked, said

# What stands before each idiom; with it alone nothing needs a hand.
BEFORE = """
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4
from celery import Celery, shared_task, Task, current_task
from celery.exceptions import Ignore, MaxRetriesExceededError, Retry, SoftTimeLimitExceeded, TimeoutError
from celery.result import AsyncResult
from celery.utils.log import get_task_logger

app = Celery("proj")
logger = get_task_logger(__name__)

@app.task(acks_late=True)
def add(x, y):
    return x + y

@shared_task(bind=True, acks_late=True)
def work(self, when: datetime, what=None):
    pass

"""

MOVES = {
    "a task without parentheses": "@app.task\ndef f(x): pass",
    "shared_task": "@shared_task\ndef f(): pass",
    "a name": '@app.task(name="sum-of-two-numbers")\ndef f(x): pass',
    "bind, retry and its limits": "@app.task(bind=True, max_retries=None)\ndef f(self):\n    try: pass\n"
    "    except OSError as error: raise self.retry(exc=error, countdown=2, max_retries=3)",
    "retries by themselves": "@app.task(autoretry_for=(OSError,), retry_backoff=True, retry_jitter=False,"
    " retry_kwargs={'max_retries': 5}, dont_autoretry_for=(KeyError,))\ndef f(): pass",
    "what is harmless": "@app.task(ignore_result=True, track_started=True, throws=(KeyError,),"
    " send_events=False, reject_on_worker_lost=True, store_errors_even_if_ignored=True,"
    " serializer='json')\ndef f(): pass",
    "limits": "@app.task(time_limit=10, soft_time_limit=5)\ndef f(): pass",
    "a base class with hooks": "class Base(Task):\n    abstract = True\n    def on_failure(self, exc,"
    " task_id, args, kwargs, einfo): pass\n    def __call__(self, *args): return super().__call__(*args)\n"
    "@app.task(base=Base)\ndef f(): pass",
    "delay": "add.delay(1, y=2)",
    "apply_async": "add.apply_async((1,), {'y': 2}, countdown=5, expires=60, queue='low', headers={'a': 1},"
    " task_id='x', time_limit=4, retry=False, ignore_result=True, connection=django_connection)",
    "an annotated argument": "work.delay(datetime.now())",
    "send_task": "app.send_task('proj.add', (1, 2), queue='low')",
    "a result": "r = add.delay(1, 2)\nr.get(timeout=3, propagate=False)\nr.ready(); r.state; r.id",
    "a result by its id": "AsyncResult('x').status",
    "progress": "@app.task(bind=True)\ndef f(self):\n    self.update_state(state='PROGRESS', meta={})\n"
    "    self.request.id, self.request.retries, self.request.delivery_info",
    "the current task": "current_task.request.id",
    "Ignore": "raise Ignore()",
    "revoke": "app.control.revoke('x', terminate=True)",
    "inspect": "app.control.inspect().active()",
    "broadcast": "app.control.broadcast('mine')",
    "signals": "from celery.signals import task_failure, worker_process_init\n"
    "@task_failure.connect\ndef f(**k): pass",
    "settings that are honoured": "app.conf.update(task_always_eager=True, task_routes={'a.*': 'b'})\n"
    "app.conf.task_default_queue = 'x'\napp.conf['task_eager_propagates'] = True",
    "discovery": "app.autodiscover_tasks()\n"
    "app.config_from_object('django.conf:settings', namespace='CELERY')",
    "a crontab": "from celery.schedules import crontab\ncrontab(minute=0, hour='*/3')\ncrontab(0, 3, 1)",
    "on commit": "add.delay_on_commit(1, 2)",
    "Django's task class": "from celery.contrib.django.task import DjangoTask\n"
    "app2 = Celery('x', task_cls=DjangoTask)",
    "a pool of processes": "pool.apply_async(add, (1,), callback=print, priority=3)",
    "a control command": "from celery.worker.control import control_command\n"
    "@control_command()\ndef f(state): pass",
    "events": "app.events.Receiver",
    "a class-based task": "class T(Task):\n    def run(self, x): pass\napp.register_task(T())",
    "an attribute of the base class": "class B(Task):\n    db = None\n"
    "@app.task(base=B, db='main')\ndef f(): pass",
    "a schedule": "app.conf.beat_schedule = {}\napp.conf.timezone = 'Europe/Berlin'",
    "a schedule in code": "@app.on_after_configure.connect\ndef f(sender, **k):\n"
    "    sender.add_periodic_task(10, add.s(1, 2), name='often')",
    "a queue with a direct exchange": "from kombu import Exchange, Queue\n"
    "app.conf.task_queues = (Queue('a', Exchange('a'), routing_key='a'), Queue('b'))",
    "what is the publisher's": "add.apply_async((1, 2), producer=p, routing_key='a', queue='a')",
}


@pytest.mark.parametrize("idiom", MOVES)
def test_what_moves_by_its_import_needs_no_hand(tmp_path: Path, idiom: str) -> None:
    found = checked(tmp_path, BEFORE + MOVES[idiom])
    assert [word for word in said(found) if word.startswith(("by-hand", "refused"))] == []
    assert found.all_moves


# idiom: its code, what it is called in the report, and words of the sentence.
BY_HAND = {
    "broker": ('Celery("x", broker="redis://h/0")', "broker=", "a setting"),
    "backend": ('Celery("x", backend="redis://h/0")', "backend=", "JOBYARD_LEDGER__URL"),
    "priority of a call": ("add.apply_async((1, 2), priority=5)", "priority=", "JOBYARD_CELERY__PRIORITY"),
    "priority of a task": ("@app.task(priority=5)\ndef f(): pass", "priority=", "9 is first here"),
    "priority above 9": ("add.apply_async((1, 2), priority=200)", "priority=", "clipped"),
    "pickle": ("@app.task(serializer='pickle')\ndef f(x): pass", "serializer=", "a payload is JSON here"),
    "yaml at a call": ("add.apply_async((1,), serializer='yaml')", "serializer=", "a payload is JSON here"),
    "pickle in settings": ("app.conf.task_serializer = 'pickle'", "task_serializer", "a payload is JSON"),
    "kombu serializer": (
        "from kombu.serialization import register",
        "kombu.serialization.register",
        "a payload is JSON",
    ),
    "an argument that is no JSON": ("add.delay(datetime.now(), 1)", "argument", "annotate the parameter"),
    "an id": ("add.delay(1, y=uuid4())", "argument", "UUID is no JSON"),
    "a number": ("add.apply_async((1, Decimal('1')))", "argument", "Decimal is no JSON"),
    "in keywords": ("add.apply_async(kwargs={'x': {1, 2}})", "argument", "annotate"),
    "an argument after the task itself": ("work.delay(datetime.now(), b'1')", "argument", "bytes is no JSON"),
    "routing key": ("@app.task(routing_key='x')\ndef f(): pass", "routing_key=", "one queue"),
    "bindings": ("from kombu import Queue\nQueue('a', bindings=[1])", "Queue(bindings=)", "one queue"),
    "a route by its exchange": (
        "app.conf.task_routes = {'a': {'queue': 'b', 'routing_key': 'b.c'}}",
        "task_routes routing_key",
        "one queue",
    ),
    "two starts": ("add.apply_async((1, 2), countdown=1, eta=x)", "eta=", "give one"),
    "exchange": ("add.apply_async((1,), exchange='x')", "exchange=", "one queue"),
    "more by its place": ("add.apply_async((1,), {}, 'id', None)", "apply_async", "name the options"),
    "retry with arguments": (
        "@app.task(bind=True)\ndef f(self):\n  self.retry(args=(2,))",
        "args=",
        "retry runs",
    ),
    "retry with a queue": (
        "@app.task(bind=True)\ndef f(self):\n  self.retry(queue='x')",
        "queue=",
        "own queue",
    ),
    "get in a task": (
        "@app.task\ndef f():\n  return add.delay(1, 2).get()",
        ".get() in a task",
        "does not wait",
    ),
    "get of a name in a task": (
        "@app.task\ndef f():\n  r = add.delay(1, 2)\n  return r.get()",
        ".get() in a task",
        "does not wait",
    ),
    "Reject": ("from celery import exceptions\nraise exceptions.Reject('x')", "Reject", "RetryLater"),
    "own options": ("@app.task(colour='red')\ndef f(): pass", "colour=", "base class"),
    "generator": ("@app.task\ndef f():\n  yield 1", "generator", "would run nothing"),
    "on_message": ("add.delay(1, 2).get(on_message=print)", "on_message=", "GET /v1/jobs"),
    "forget": ("AsyncResult('x').forget()", "forget()", "retention"),
    "purge": ("app.control.purge()", "app.control.purge", "cancel them"),
    "control.rate_limit": ("app.control.rate_limit('x', '1/m')", "app.control.rate_limit", "at the task"),
    "control.time_limit": ("app.control.time_limit('x', 1)", "app.control.time_limit", "at the task"),
    "the request's stamps": (
        "@app.task(bind=True)\ndef f(self):\n  self.request.stamps",
        "self.request.stamps",
        "always empty",
    ),
    "a header of one's own": (
        "@app.task(bind=True)\ndef f(self):\n  self.request.tenant",
        "self.request.tenant",
        "self.request.headers",
    ),
    "after_task_publish": (
        "from celery.signals import after_task_publish",
        "celery.signals.after_task_publish",
        "job_accepted",
    ),
    "current_app": ("from celery import current_app", "celery.current_app", "no current app"),
    "allow_join_result": (
        "import celery.result as r\nr.allow_join_result()",
        "celery.result.allow_join_result",
        "",
    ),
    "django_celery_beat": ("from django_celery_beat.models import PeriodicTask", "", "Schedule(...)"),
    "django_celery_results": ("from django_celery_results.models import TaskResult", "", "AsyncResult(id)"),
    "installed": (
        "INSTALLED_APPS = ['a', 'django_celery_beat']",
        "django_celery_beat",
        "leave the application",
    ),
    "a database scheduler": (
        "CELERY_BEAT_SCHEDULER = 'django_celery_beat.schedulers:DatabaseScheduler'",
        "beat_scheduler",
        "jobyard beat",
    ),
    "fixtures": ("def test_it(celery_worker): pass", "celery_worker", "fixtures"),
    "plugins": ("pytest_plugins = ('celery.contrib.pytest',)", "celery.contrib.pytest", "fixtures"),
    "a model of a database": (
        "from django.db import models\nclass User(models.Model): pass\n@app.task\ndef f(user: User): pass",
        "annotation",
        "take its id",
    ),
    "a type for checkers": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  from a import B\n"
        "@app.task\ndef f(b: 'list[B]'): pass",
        "annotation",
        "TYPE_CHECKING",
    ),
    "a secret": (
        "from pydantic import SecretStr\n@app.task\ndef f(s: SecretStr): pass",
        "annotation",
        "asterisks",
    ),
    "chunks": ("add.chunks([(1, 2)], 10)", ".chunks", "many at once"),
    "an unknown name": (
        "from celery.apps.worker import Worker",
        "celery.apps.worker.Worker",
        "not known here",
    ),
    "a star": ("from celery import *", "import *", "name what is imported"),
    "old settings": ("BROKER_URL = 'redis://h/0'", "broker_url", "JOBYARD_BROKER__URL"),
    "result_backend": ("app.conf.result_backend = 'x'", "result_backend", "JOBYARD_LEDGER__URL"),
    "in update": ("app.conf.update({'result_expires': 5})", "result_expires", "JOBYARD_LEDGER__RETENTION"),
    "in override_settings": (
        "@override_settings(CELERY_BROKER_URL='x')\ndef f(): pass",
        "broker_url",
        "JOBYARD_BROKER__URL",
    ),
    "in a section of Flask's configuration": (
        "flask_app.config.from_mapping(CELERY=dict(broker_url='x', task_ignore_result=True))",
        "broker_url",
        "JOBYARD_BROKER__URL",
    ),
    "in a section of a mapping": (
        "flask_app.config.from_mapping({'CELERY': {'result_backend': 'x'}})",
        "result_backend",
        "JOBYARD_LEDGER__URL",
    ),
    "in a section that is set": (
        "flask_app.config['CELERY_CONFIG'] = {'result_expires': 5}",
        "result_expires",
        "JOBYARD_LEDGER__RETENTION",
    ),
    "in a section of a class": ("class Config:\n    CELERY = dict(broker_url='x')", "broker_url", "remove"),
    "transport options": (
        "app.conf.broker_transport_options = {'visibility_timeout': 5}",
        "broker_transport_options",
        "JOBYARD_WORKER__LEASE",
    ),
}


@pytest.mark.parametrize("idiom", BY_HAND)
def test_what_moves_in_another_way_says_the_edit(tmp_path: Path, idiom: str) -> None:
    code, name, words = BY_HAND[idiom]
    found = checked(tmp_path, BEFORE + code)
    hands = [each for each in found.findings if each.verdict == "by-hand" and each.idiom.startswith(name)]
    assert any(words in each.sentence for each in hands), said(found)
    assert not found.all_moves


REFUSED = {
    "rate_limit": ("@app.task(rate_limit='10/m')\ndef f(): pass", "rate_limit="),
    "rate_limit of a class": ("class B(Task):\n  rate_limit = '1/m'", "rate_limit"),
    "rate_limit in an annotation": (
        "app.conf.task_annotations = {'tasks.add': {'rate_limit': '10/m'}}",
        "task_annotations rate_limit",
    ),
    "link": ("add.apply_async((1,), link=print)", "link="),
    "chain": ("from celery import chain", "celery.chain"),
    "group by a module": ("import celery\ncelery.group()", "group(...)"),
    "chord in canvas": ("from celery.canvas import chord", "celery.chord"),
    "signature": ("add.s(1)", ".s"),
    "a pipe": ("x.si(1) | y.si(2)", "a.s() | b.s()"),
    "GroupResult": ("from celery.result import GroupResult", "celery.result.GroupResult"),
    "replace": ("@app.task(bind=True)\ndef f(self):\n  self.replace(1)", ".replace"),
    "add_to_chord": ("@app.task(bind=True)\ndef f(self):\n  self.add_to_chord(1)", ".add_to_chord"),
    "xmap": ("from celery import xmap", "celery.xmap"),
    "stamping": ("from celery.stamping import StampingVisitor", "celery.stamping.StampingVisitor"),
    "Exchange": ("from kombu import Exchange\nExchange('a', type='topic')", "Exchange(type='topic')"),
    "amqp": ("app.amqp", "app.amqp"),
    "own scheduler": ("from celery.beat import Scheduler", "celery.beat.Scheduler"),
    "bootsteps": ("from celery import bootsteps", "celery.bootsteps"),
    "abortable": (
        "from celery.contrib.abortable import AbortableTask",
        "celery.contrib.abortable.AbortableTask",
    ),
    "solar": ("from celery.schedules import solar", "celery.schedules.solar"),
}


@pytest.mark.parametrize("idiom", REFUSED)
def test_what_cannot_move_is_refused_with_its_reason(tmp_path: Path, idiom: str) -> None:
    code, name = REFUSED[idiom]
    found = checked(tmp_path, BEFORE + code)
    assert about(found, name).verdict == "refused"
    assert len(about(found, name).sentence) > 10
    assert not found.all_moves


def test_a_place_is_named_by_line_and_column(tmp_path: Path) -> None:
    found = checked(
        tmp_path, "from celery import shared_task\n\n@shared_task(\n    rate_limit='1/m')\ndef f(): pass\n"
    )
    finding = about(found, "rate_limit=")
    assert (finding.path, finding.line, finding.column) == (str(tmp_path / "tasks.py"), 4, 5)


def test_a_column_counts_characters(tmp_path: Path) -> None:
    found = checked(tmp_path, "from celery import Celery\nx = 'äöü', Celery('x', backend='y')\n")
    assert about(found, "backend=").column == 24
