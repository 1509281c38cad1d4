"""Whole code bases: names across modules, settings, and files that cannot be read."""

import json
import os
from pathlib import Path

import pytest

from jobyard.celery_check.check import check
from jobyard.celery_check.report import as_json, as_text
from tests.unit.jobyard.celery_check.code_base import about, checked, said, write_files

MAKE = "from celery import Celery\ncelery = Celery('x')\n"


@pytest.mark.parametrize(
    "files",
    [
        {
            "p/__init__.py": "from .celery import app as celery_app",
            "p/celery.py": MAKE.replace("celery =", "app ="),
        }
        | {"p/tasks.py": "from p import celery_app\n@celery_app.task(rate_limit='1/m')\ndef f(): pass"},
        {"p/__init__.py": "", "p/app.py": MAKE, "p/q/__init__.py": ""}
        | {"p/q/tasks.py": "from ..app import celery as a\n@a.task(rate_limit='1/m')\ndef f(): pass"},
        {"src/p/__init__.py": "", "src/p/app.py": MAKE}
        | {"src/p/tasks.py": "import p.app\n@p.app.celery.task(rate_limit='1/m')\ndef f(): pass"},
        {
            "p/app.py": MAKE,
            "p/tasks.py": "from p.app import *\n@celery.task(rate_limit='1/m')\ndef f(): pass",
        },
        {
            "main.py": MAKE,
            "jobs.py": "from main import celery as a\n@a.task(rate_limit='1/m')\ndef f(): pass",
        },
        {"t.py": "import celery as c\napp = c.Celery('x')\n@app.task(rate_limit='1/m')\ndef f(): pass"},
        {"t.py": "from celery import Celery as C\napp = C('x')\n@app.task(rate_limit='1/m')\ndef f(): pass"},
        {"t.py": "from celery import *\napp = Celery('x')\n@app.task(rate_limit='1/m')\ndef f(): pass"},
        {
            "t.py": "from celery import Celery\ndef make():\n  q = Celery('x')\n  return q\nq = make()\n"
            "@q.task(rate_limit='1/m')\ndef f(): pass"
        },
        {
            "t.py": "from celery import Celery\nclass Mine(Celery): pass\nq = Mine('x')\n"
            "@q.task(rate_limit='1/m')\ndef f(): pass"
        },
        {"t.py": "from jobyard import Jobyard\nq = Jobyard('x')\n@q.task(rate_limit='1/m')\ndef f(): pass"},
        {"t.py": "q = make_it()()\nq.autodiscover_tasks()\n@q.task(rate_limit='1/m')\ndef f(): pass"},
        {"t.py": "from unread import celery_app\n@celery_app.task(rate_limit='1/m')\ndef f(): pass"},
        {
            "t.py": "try:\n  from celery import shared_task as t\nexcept ImportError: t = None\n"
            "def outer():\n  @t(rate_limit='1/m')\n  async def f(): pass"
        },
    ],
)
def test_a_task_is_known_by_whatever_name_its_application_has(tmp_path: Path, files: dict[str, str]) -> None:
    assert said(checked(tmp_path, files)).count("refused rate_limit=") == 1


@pytest.mark.parametrize(
    "code",
    [
        "from invoke import task\n@task(rate_limit='1/m')\ndef f(): pass",
        "from celery_like import Celery\n",
        "import time\ntime.delay(datetime.now())\nx.s(1)\napp.amqp",
        "class celery: pass\n",
        "broker_url = 'x'\nclass Config:\n  broker_url = 'y'",
        "def f():\n  CELERY_BROKER_URL = 'x'",
        "from circular import *\nfrom .circular import a\na.task",
    ],
)
def test_what_only_looks_like_celery_is_left_alone(tmp_path: Path, code: str) -> None:
    assert said(checked(tmp_path, {"circular.py": "from circular import a\na = a\n", "t.py": code})) == []


def test_an_argument_is_checked_against_the_task_of_another_module(tmp_path: Path) -> None:
    files = {
        "p/__init__.py": "",
        "p/tasks.py": "from datetime import date\nfrom celery import shared_task\n@shared_task\n"
        "def f(day: date, other=None): pass\n",
        "p/views.py": "import datetime as d\nfrom p.tasks import f\n"
        "day = d.date\nf.delay(day.today(), day.today())\n",
    }
    finding = about(checked(tmp_path, files), "argument")
    assert (finding.line, finding.edit) == (4, "def f(..., other: date)")


@pytest.mark.parametrize(
    ("files", "keys"),
    [
        ({"celeryconfig.py": "broker_url = 'x'\nnothing = 1"}, ["broker_url"]),
        (
            {"app.py": f"{MAKE}celery.config_from_object('conf')", "conf.py": "enable_utc = False"},
            ["enable_utc"],
        ),
        (
            {"app.py": f"{MAKE}from p import conf\ncelery.config_from_object(conf)"}
            | {"p/__init__.py": "", "p/conf.py": "result_expires = 4"},
            ["result_expires"],
        ),
        (
            {"app.py": f"{MAKE}celery.config_from_object('conf:Production')"}
            | {"conf.py": "class Production:\n  worker_pool = 'solo'"},
            ["worker_pool"],
        ),
        ({"settings.py": "CELERY_BROKER_URL = 'x'\nCELERY_COLOUR = 1"}, ["broker_url"]),
        ({"settings.py": "if DEBUG:\n  CELERYD_POOL = 'solo'"}, ["worker_pool"]),
        ({"settings.py": "CELERY = {'broker_url': 'x'}"}, ["broker_url"]),
        (
            {"settings.py": "QUEUE_BROKER_URL = 'x'"}
            | {"app.py": f"{MAKE}celery.config_from_object('django.conf:settings', namespace='QUEUE')"},
            ["broker_url"],
        ),
    ],
)
def test_settings_are_found_where_an_application_reads_them(
    tmp_path: Path, files: dict[str, str], keys: list[str]
) -> None:
    assert [each.idiom for each in checked(tmp_path, files).findings if each.verdict == "by-hand"] == keys


def test_what_is_installed_or_hidden_is_not_read(tmp_path: Path) -> None:
    bad = "from celery import chain"
    found = checked(
        tmp_path,
        {
            "env/pyvenv.cfg": "",
            "env/lib/a.py": bad,
            ".git/a.py": bad,
            "node_modules/a.py": bad,
            "a/__pycache__/a.py": bad,
            "conda/conda-meta/x": "",
            "conda/a.py": bad,
        },
    )
    assert (found.findings, found.files) == ([], 0)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/t.py": "from celery import chain"})
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "self.py").symlink_to("self.py")
    (tmp_path / "a" / "again.py").symlink_to("t.py")
    os.mkfifo(tmp_path / "a" / "pipe.py")
    found = check(tmp_path)
    assert (len(found.findings), found.unread) == (1, [])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"import celery\nprint 'x'\n", "line 2: "),
        (b"import celery\nx = '\xe9'\n", "it is not utf-8: byte 19 is 0xe9"),
        (b"# coding: klingon\nimport celery\n", "its encoding is not known"),
        (b"import celery\n\0\n", "null bytes"),
        (b"import celery\nx = " + b"(" * 5000 + b")" * 5000, ""),
        (b"import celery\nx = " + b"-" * 20000 + b"1", ""),
        (b"import celery\nx = 1" + b"+1" * 20000, ""),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_needs_a_look(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    (tmp_path / "bad.py").write_bytes(data)
    write_files(tmp_path, {"good.py": "from celery import chain"})
    found = check(tmp_path)
    [unread] = found.unread
    assert unread.path == str(tmp_path / "bad.py")
    assert reason in unread.reason
    assert unread.needs_a_look
    assert said(found) == ["refused celery.chain"]
    assert not found.all_moves


def test_a_file_that_cannot_be_read_and_names_no_celery_is_nobodys_matter(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_bytes(b"print 'x'\n\xff")
    assert check(tmp_path).unread == []


def test_other_encodings_are_read_as_python_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(
        "# coding: latin-1\nx = 'é'; from celery import chain\n".encode("latin-1")
    )
    (tmp_path / "b.py").write_bytes("\ufefffrom celery import chain\r\n".encode())
    assert [(each.line, each.column) for each in check(tmp_path).findings] == [(2, 29), (1, 20)]


def test_a_notebook_is_named_and_not_read(tmp_path: Path) -> None:
    found = checked(tmp_path, {"a.ipynb": '{"cells": ["from celery import chain"]}', "b.ipynb": "{}"})
    assert [unread.reason for unread in found.unread] == ["a notebook that names Celery"]
    assert found.all_moves


def test_the_report_goes_from_what_has_to_be_decided_to_what_moves(tmp_path: Path) -> None:
    code = "from celery import shared_task, chain, current_app\n@shared_task\ndef f(): pass\n"
    titles = [line for line in as_text(checked(tmp_path, code)).splitlines() if line.endswith(":")]
    assert titles[0].startswith("Decide first")
    assert titles[1:] == ["Does not move:", "Moves in another way:", "Moves by its imports:"]


def test_the_report_for_programs_says_the_same(tmp_path: Path) -> None:
    found = checked(tmp_path, "from celery import shared_task, chain\n@shared_task\ndef f(): pass\n")
    report = json.loads(as_json(found))
    assert report["version"] == 1
    assert report["counts"] == {"decide": 1, "refused": 1, "by-hand": 0, "by-import": 2}
    assert [each["verdict"] for each in report["findings"]] == ["decide", "refused", "by-import", "by-import"]
    assert report["findings"][1].keys() >= {"path", "line", "column", "idiom", "sentence", "edit"}
    assert report["all_moves"] is False
