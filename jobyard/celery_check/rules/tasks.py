"""Declarations of tasks and their base classes: options, parameters, and what a lost worker means."""

import ast
from typing import Final

from jobyard.celery_check.celery_names import Refusal
from jobyard.celery_check.finding import Verdict
from jobyard.celery_check.look import Look
from jobyard.celery_check.module import Function, dotted, is_true
from jobyard.celery_check.options import SERIALIZER, TASK_KEPT, TASK_REFUSED
from jobyard.celery_check.rules.annotations import check_annotations

LONGEST_NAME: Final = 200
RUNS_AGAIN: Final = (
    "acks_late is not set: Celery would not run it again after a lost worker, and Jobyard does, up to "
    "JOBYARD_KEEPER__MAX_LOST times"
)
CHOOSE: Final = "max_losses=0 where it must never run twice, acks_late=True where it may"
_BASE_ATTRIBUTES: Final = frozenset({"rate_limit", "exchange", "routing_key", "delivery_mode", "mandatory"})


def task_decorator(look: Look, function: Function) -> ast.expr | None:
    """Return the decorator that makes a function a task."""
    for decorator in function.decorator_list:
        name = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if name and look.project.is_task_decorator(look.module, name):
            return decorator
    return None


def check_task(look: Look, function: Function, decorator: ast.expr) -> None:
    """Check one declaration."""
    words = decorator.keywords if isinstance(decorator, ast.Call) else []
    faults = len(look.findings)
    base = dotted(next((word.value for word in words if word.arg == "base"), None))
    for word in words:
        # An attribute of the base class may be set at each task.
        if not (base and word.arg and look.project.has_attribute(look.module, base, word.arg)):
            _check_option(look, word)
    check_annotations(look, function)
    if _yields(function):
        look.add(
            function,
            Verdict.BY_HAND,
            "generator",
            f"{function.name}: a task with a yield would run nothing",
            "return a list, or hand in a job for each part",
        )
    _check_loss(look, function, words)
    is_kept = all(each.verdict is Verdict.DECIDE for each in look.findings[faults:])
    if is_kept:
        look.add(function, Verdict.BY_IMPORT, "task", f"task {function.name} moves by its import")


def _check_option(look: Look, word: ast.keyword) -> None:
    name, value = word.arg, word.value
    if name is None:
        return
    if name in TASK_REFUSED:
        if not (isinstance(value, ast.Constant) and value.value is None):
            look.refuse(word, f"{name}=", TASK_REFUSED[name])
    elif name == "serializer" and isinstance(value, ast.Constant) and value.value not in ("json", None):
        look.refuse(word, "serializer=", Refusal(SERIALIZER, by_hand=True, edit="remove it"))
    elif name.startswith("acks_on_") and isinstance(value, ast.Constant) and value.value is False:
        sentence = "a message is acknowledged when the job has an end: say autoretry_for="
        look.refuse(word, f"{name}=", Refusal(sentence, by_hand=True, edit="autoretry_for=(...)"))
    elif name == "name" and isinstance(value, ast.Constant) and isinstance(value.value, str):
        if len(value.value) > LONGEST_NAME or not value.value.isprintable():
            look.add(word, Verdict.BY_HAND, "name=", f"a name has up to {LONGEST_NAME} printable characters")
    elif name not in TASK_KEPT:
        sentence = f"there is no option {name!r}: an attribute of one's own belongs to a base class"
        look.add(
            word, Verdict.BY_HAND, f"{name}=", sentence, f"class Base(Task): {name} = ...  and base=Base"
        )


def _check_loss(look: Look, function: Function, words: list[ast.keyword]) -> None:
    given = {word.arg: word.value for word in words}
    base = dotted(given.get("base"))
    if "max_losses" in given or (base and look.project.has_flag(look.module, base, "acks_late")):
        return
    late = given.get("acks_late")
    if not is_true(late) if late is not None else not look.project.acks_late:
        look.add(function, Verdict.DECIDE, "acks_late", f"{function.name}: {RUNS_AGAIN}", CHOOSE)


def _yields(function: Function) -> bool:
    """Tell whether the function itself has a yield, and not one within it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))
    return False


def check_base_class(look: Look, node: ast.ClassDef) -> None:
    """Check the attributes of a class that is derived from Task."""
    faults = len(look.findings)
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                _check_attribute(look, statement, dotted(target))
    has_run = any(getattr(each, "name", "") == "run" for each in node.body)
    decides = not look.project.acks_late and not look.project.has_flag(look.module, node.name, "acks_late")
    if has_run and decides and "abstract" not in look.module.true_flags.get(node.name, ()):
        look.add(node, Verdict.DECIDE, "acks_late", f"{node.name}: {RUNS_AGAIN}", CHOOSE)
    if all(each.verdict is Verdict.DECIDE for each in look.findings[faults:]):
        look.add(node, Verdict.BY_IMPORT, "base class", f"class {node.name} moves by its import")


def _check_attribute(look: Look, statement: ast.Assign, name: str) -> None:
    is_none = isinstance(statement.value, ast.Constant) and statement.value.value is None
    if name in _BASE_ATTRIBUTES and not is_none:
        look.refuse(statement, name, TASK_REFUSED[name])
    if name == "serializer" and isinstance(statement.value, ast.Constant) and statement.value.value != "json":
        look.refuse(statement, name, Refusal(SERIALIZER, by_hand=True, edit="remove it"))
