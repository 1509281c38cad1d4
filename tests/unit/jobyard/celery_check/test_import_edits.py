"""`--write` changes imports and nothing else."""

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobyard.celery_check.import_edits import import_edits
from jobyard.celery_check.source_file import edited, parse_source


def moved(text: str) -> str:
    """Return a text with its imports moved."""
    source = parse_source("t.py", text.encode())
    edits = import_edits(source)
    return edited(source.text, [edit for each in edits for edit in each.edits])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from celery import shared_task\n", "from jobyard import shared_task\n"),
        ("from  celery  import  shared_task  # why\n", "from  jobyard  import  shared_task  # why\n"),
        ("from celery import Celery\na = Celery('x')\n", "from jobyard import Jobyard\na = Jobyard('x')\n"),
        ("from celery import Celery as C\na = C('x')\n", "from jobyard import Jobyard as C\na = C('x')\n"),
        ("from celery import Celery\nJobyard = 1\n", "from jobyard import Jobyard as Celery\nJobyard = 1\n"),
        (
            "from celery import Celery\n__all__ = ['Celery']\n",
            "from jobyard import Jobyard as Celery\n__all__ = ['Celery']\n",
        ),
        ("from celery import Celery\nx: 'Celery'\n", "from jobyard import Jobyard as Celery\nx: 'Celery'\n"),
        ("from celery.result import AsyncResult as R\n", "from jobyard import AsyncResult as R\n"),
        ("from celery.signals import task_failure\n", "from jobyard.signals import task_failure\n"),
        ("from celery import signals\n", "from jobyard import signals\n"),
        ("from celery.contrib.django.task import DjangoTask\n", "from jobyard import Task as DjangoTask\n"),
        ("from celery.app.task import Task\n", "from jobyard import Task\n"),
        (
            "from celery import shared_task, chain\n",
            "from celery import chain\nfrom jobyard import shared_task\n",
        ),
        (
            "from celery import chain, shared_task\n",
            "from celery import chain\nfrom jobyard import shared_task\n",
        ),
        ("from celery import shared_task, signals\n", "from jobyard import shared_task, signals\n"),
        (
            "from celery import (\n    chain,  # c\n    shared_task,  # s\n)\nx = 1\n",
            "from celery import (\n    chain,  # c\n)\n"
            "from jobyard import (\n    shared_task,  # s\n)\nx = 1\n",
        ),
        (
            "from celery import (shared_task, chain,\n    group, Task)\n",
            "from celery import (chain,\n    group)\nfrom jobyard import shared_task, Task\n",
        ),
        (
            "from celery import shared_task, \\\n    chain\n",
            "from celery import chain\nfrom jobyard import shared_task\n",
        ),
        (
            "try:\n    from celery import Task, chain\nexcept ImportError: pass\n",
            "try:\n    from celery import chain\n    from jobyard import Task\nexcept ImportError: pass\n",
        ),
        (
            "if 1: from celery import Task, chain; x = 1\n",
            "if 1: from celery import chain; from jobyard import Task; x = 1\n",
        ),
        ("from celery import Task, chain", "from celery import chain\nfrom jobyard import Task"),
        (
            "from celery import Task, chain\r\nx = 1\r\n",
            "from celery import chain\r\nfrom jobyard import Task\r\nx = 1\r\n",
        ),
        (
            "import celery\n\n@celery.shared_task\ndef f(): pass\n",
            "import jobyard\n\n@jobyard.shared_task\ndef f(): pass\n",
        ),
        ("import celery as c\na = c.Celery('x')\n", "import jobyard as c\na = c.Jobyard('x')\n"),
        (
            "import celery\na = celery.Celery('x')\ncelery.chain\n",
            "import celery\nimport jobyard\na = jobyard.Jobyard('x')\ncelery.chain\n",
        ),
        ("import celery.signals as s\ns.task_failure\n", "import jobyard.signals as s\ns.task_failure\n"),
        ("import celery.result\ncelery.result.AsyncResult(1)\n", None),
        ("import os, celery, sys\ncelery.current_task\n", "import os, jobyard, sys\njobyard.current_task\n"),
        ("é = 'ü'; from celery import shared_task as ä\n", "é = 'ü'; from jobyard import shared_task as ä\n"),
        ("x = '''\\\n'''; from celery import Task\n", "x = '''\\\n'''; from jobyard import Task\n"),
    ],
)
def test_an_import_is_moved_and_the_rest_stays(before: str, after: str | None) -> None:
    written = moved(before)
    if after is not None:
        assert written == after
    assert moved(written) == written
    ast.parse(written)


@pytest.mark.parametrize(
    "text",
    [
        "from celery import chain, group\n",
        "from celery import *\n",
        "from .celery import app\n",
        "from celery.exceptions import Retry\n",
        "from celery.utils.log import get_task_logger\n",
        "from celery.signals import before_task_publish\n",
        "import celery\n",
        "import celery\ncelery.chain\n",
        "import celery\ncelery = celery.Celery('x')\n",
        "from celery_once import QueueOnce\n",
        "# from celery import shared_task\n",
        "x = 'from celery import shared_task'\n",
        "from jobyard import shared_task\n",
    ],
)
def test_what_does_not_move_stays_as_it_is_written(text: str) -> None:
    assert moved(text) == text


NAMES = ("Celery", "shared_task", "Task", "current_task", "chain", "group", "signals", "schedules", "uuid")
STAY = {"chain", "group", "schedules", "uuid"}
ALIASES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(["", "", " as x", " as y", "  as  z"])),
    min_size=1,
    max_size=6,
    unique_by=lambda pair: pair[1].strip() or pair[0],
)


@st.composite
def statements(draw: st.DrawFn) -> str:
    names = [f"{name}{alias}" for name, alias in draw(ALIASES)]
    comma = st.sampled_from([", ", ",", ",\n    ", ",  # why\n", " ,\n\n  ", ", # celery\n    # more\n  "])
    inside = "".join(f"{name}{draw(comma)}" for name in names[:-1]) + names[-1]
    if "\n" not in inside and draw(st.booleans()):
        statement = f"from celery import {inside}"
    else:
        opening = draw(st.sampled_from(["(", "(\n    ", "(  # open\n  "]))
        closing = draw(st.sampled_from([")", ",\n)", "  # last\n)", ",  # last\n  )"]))
        statement = f"from celery import {opening}{inside}{closing}"
    before = draw(st.sampled_from(["", "x = 1; ", "if True: ", "if True:\n    "]))
    behind = draw(st.sampled_from(["", "\n", "  # end\n", "\nprint(1)\n", "; z1 = 2\n"]))
    text = f"{before}{statement}{behind}"
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


def bound(text: str) -> set[str]:
    """Return the names that imports bind, with Celery's class by its name here."""
    aliases = [
        each for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) for each in node.names
    ]
    return {(each.asname or each.name).replace("Celery", "Jobyard") for each in aliases}


def sources(text: str) -> dict[str, set[str]]:
    """Return the names that are imported from each package."""
    found: dict[str, set[str]] = {"celery": set(), "jobyard": set()}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            found[node.module or ""].update(alias.name for alias in node.names)
    return found


def comments(text: str) -> Counter[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text, newline="").readline)
    return Counter(token.string for token in tokens if token.type == tokenize.COMMENT)


@settings(max_examples=150, deadline=None)
@given(statements())
def test_any_import_binds_the_same_names_and_keeps_its_comments(text: str) -> None:
    written = moved(text)
    assert bound(written) == bound(text)
    assert comments(written) == comments(text)
    assert moved(written) == written
    assert ("\r\n" in written) == ("\r\n" in text) or "\n" not in text.rstrip()
    assert written.replace("\r\n", "").count("\r") == 0
    assert sources(written)["celery"] <= STAY
    assert sources(written)["jobyard"].isdisjoint(STAY)


def test_a_rewritten_file_keeps_its_encoding(tmp_path: Path) -> None:
    data = "\ufeff# ü\r\nfrom celery import shared_task\r\n".encode()
    source = parse_source("t.py", data)
    assert source.encoded(source.text) == data
