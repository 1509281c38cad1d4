"""What a bound task asks of itself, what it raises, and what is asked of a task as such."""

import ast

from jobyard.celery_check.celery_names import Refusal
from jobyard.celery_check.finding import Verdict
from jobyard.celery_check.look import Look
from jobyard.celery_check.module import dotted
from jobyard.celery_check.options import (
    REQUEST_EMPTY,
    REQUEST_KEPT,
    RETRY_REFUSED,
    SERIALIZER,
    TASK_MEMBERS_REFUSED,
)


def check_attribute(look: Look, node: ast.Attribute) -> None:
    """Check `self.something` of a bound task, `task.something`, and `self.request.something`."""
    if _is_request(look, node.value):
        idiom = f"self.request.{node.attr}"
        if node.attr in REQUEST_EMPTY:
            look.add(node, Verdict.BY_HAND, idiom, f"{idiom} is always empty here")
        elif node.attr not in REQUEST_KEPT:
            sentence = f"{idiom} is no field of Celery's: a header of a call is in self.request.headers"
            look.add(node, Verdict.BY_HAND, idiom, sentence, f'self.request.headers["{node.attr}"]')
    elif look.is_scheduled and node.attr in ("s", "si", "signature"):
        return  # what a schedule hands in is a call, and no part of a workflow
    elif node.attr in TASK_MEMBERS_REFUSED and _is_a_task(look, node.value):
        look.refuse(node, f".{node.attr}", TASK_MEMBERS_REFUSED[node.attr])


def _is_request(look: Look, node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "request" and _is_a_task(look, node.value)


def _is_a_task(look: Look, node: ast.expr) -> bool:
    name = dotted(node)
    if not name:
        return False
    if look.bound and name == look.bound:
        return True
    return look.meant(name) == "celery.current_task" or look.project.task(look.module, name) is not None


def check_retry(look: Look, call: ast.Call) -> None:
    """Check `self.retry(...)` and `task.retry(...)`."""
    function = call.func
    if not (
        isinstance(function, ast.Attribute) and function.attr == "retry" and _is_a_task(look, function.value)
    ):
        return
    look.refuse_words(call, RETRY_REFUSED)
    if call.args:
        look.refuse(call.args[0], "retry(args)", RETRY_REFUSED["args"])
    for word in call.keywords:
        if word.arg == "serializer" and not (
            isinstance(word.value, ast.Constant) and word.value.value == "json"
        ):
            look.refuse(word, "serializer=", Refusal(SERIALIZER, by_hand=True, edit="remove it"))
