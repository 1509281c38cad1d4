"""Tests that use Celery's pytest plugin."""

import ast
from typing import Final

from jobyard.celery_check.finding import Verdict
from jobyard.celery_check.look import Look
from jobyard.celery_check.module import Function

FIXTURES: Final = {
    "celery_app": "jobyard_inline",
    "celery_session_app": "jobyard_inline",
    "celery_worker": "jobyard_worker",
    "celery_session_worker": "jobyard_worker",
    "celery_config": "",
    "celery_parameters": "",
    "celery_includes": "",
    "celery_enable_logging": "",
    "celery_class_tasks": "",
    "celery_worker_pool": "",
    "celery_worker_parameters": "",
}
_SENTENCE: Final = "Jobyard's pytest plugin has fixtures of its own"


def check_fixtures(look: Look, function: Function) -> None:
    """Check the parameters of a test, and fixtures that configure Celery's."""
    is_test = function.name.startswith("test") or any(
        "fixture" in look.source.segment(each) for each in function.decorator_list
    )
    if not is_test:
        return
    for parameter in (*function.args.args, *function.args.kwonlyargs):
        if parameter.arg in FIXTURES:
            look.add(
                parameter, Verdict.BY_HAND, parameter.arg, _SENTENCE, FIXTURES[parameter.arg] or "remove it"
            )
    if function.name in FIXTURES:
        look.add(function, Verdict.BY_HAND, function.name, _SENTENCE, FIXTURES[function.name] or "remove it")


def check_plugins(look: Look, node: ast.Assign) -> None:
    """Check `pytest_plugins = ("celery.contrib.pytest",)`."""
    for inner in ast.walk(node.value):
        if isinstance(inner, ast.Constant) and inner.value == "celery.contrib.pytest":
            look.add(inner, Verdict.BY_HAND, "celery.contrib.pytest", _SENTENCE, "remove it")
