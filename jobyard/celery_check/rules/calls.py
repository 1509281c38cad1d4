"""Calls of tasks: their options, their arguments, and what is asked of their results."""

import ast
from collections.abc import Iterator
from typing import Final

from jobyard.celery_check.celery_names import WORKFLOWS, Refusal
from jobyard.celery_check.finding import Verdict
from jobyard.celery_check.look import Look
from jobyard.celery_check.module import Function, dotted
from jobyard.celery_check.options import CALL_REFUSED, PRIORITY, SERIALIZER
from jobyard.celery_check.rules.values import made_by
from jobyard.settings.queues import HIGHEST_PRIORITY

CALLS: Final = frozenset({"delay", "apply_async", "delay_on_commit", "apply_async_on_commit", "send_task"})
SIGNATURES: Final = frozenset({"s", "si", "signature", "subtask"})
WAITS: Final = frozenset({"get", "wait", "join", "join_native", "collect"})
_EVENTS: Final = Refusal(
    "progress is asked for, and not sent to the waiting: GET /v1/jobs/{id}", by_hand=True
)
_FORGET: Final = Refusal(
    "results go when retention says so", by_hand=True, edit="JOBYARD_LEDGER__RETENTION=P30D"
)
_CANVAS: Final = frozenset({"celery.chain", "celery.group", "celery.chord", "celery.signature"})


def check_call(look: Look, call: ast.Call) -> None:
    """Check one call of anything."""
    if not isinstance(call.func, ast.Attribute):
        return
    name, receiver = call.func.attr, call.func.value
    if name in CALLS and not _is_of_a_pool(call, receiver):
        _check_options(look, call, name)
        _check_arguments(look, call, name, receiver)
    elif name in SIGNATURES and _is_task(look, receiver):
        _check_arguments(look, call, name, receiver)
    if is_result(look, receiver):
        _check_result(look, call, name)


def is_result(look: Look, node: ast.expr) -> bool:
    """Tell whether an expression is what a call of a task gave."""
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        return (called in CALLS and not _is_of_a_pool(node, node.func.value)) or (  # type: ignore[attr-defined]
            look.meant(node.func) == "celery.result.AsyncResult" or called == "AsyncResult"
        )
    return isinstance(node, ast.Name) and node.id in look.results


def results_in(look: Look, function: Function | ast.Module) -> frozenset[str]:
    """Return the names of a function that hold what a call of a task gave."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and is_result(look, node.value):
            found.update(dotted(target) for target in node.targets)
    return frozenset(found - {""})


def _is_task(look: Look, receiver: ast.expr) -> bool:
    name = dotted(receiver)
    return bool(name) and look.project.task(look.module, name) is not None


def _is_of_a_pool(call: ast.Call, receiver: ast.expr) -> bool:
    """Tell whether it is `apply_async` of a pool of processes."""
    words = {word.arg for word in call.keywords}
    name = dotted(receiver).rpartition(".")[2].lower()
    return "pool" in name or "executor" in name or bool(words & {"callback", "error_callback", "func"})


def _check_options(look: Look, call: ast.Call, name: str) -> None:
    if name in ("delay", "delay_on_commit"):
        return
    queue = next((word.value for word in call.keywords if word.arg == "queue"), None)
    for word in call.keywords:
        # With the name of the queue it says what is so anyway.
        names_the_queue = word.arg in ("exchange", "routing_key") and queue is not None
        if not (names_the_queue and ast.dump(word.value) == ast.dump(queue or word.value)):
            _check_option(look, word)
    # Celery has task_id, producer, link and more by their places.
    if name.startswith("apply_async") and len(call.args) > 3:
        look.add(call.args[3], Verdict.BY_HAND, "apply_async", "name the options after the third argument")
    given = {word.arg: word for word in call.keywords}
    if {"countdown", "eta"} <= given.keys():
        look.add(given["eta"], Verdict.BY_HAND, "eta=", "countdown and eta both say when to start: give one")


def _check_option(look: Look, word: ast.keyword) -> None:
    value = word.value
    constant = value.value if isinstance(value, ast.Constant) else ...
    if constant is None or word.arg is None:
        return
    if word.arg == "serializer" and constant is not ... and constant != "json":
        look.refuse(word, "serializer=", Refusal(SERIALIZER, by_hand=True, edit="remove it"))
    elif word.arg == "priority":
        is_clipped = isinstance(constant, int) and constant > HIGHEST_PRIORITY
        sentence = f"{PRIORITY}; more than {HIGHEST_PRIORITY} is clipped" if is_clipped else PRIORITY
        look.refuse(word, "priority=", Refusal(sentence, True, CALL_REFUSED["priority"].edit))
    elif word.arg in CALL_REFUSED:
        look.refuse(word, f"{word.arg}=", CALL_REFUSED[word.arg])


def _arguments(call: ast.Call, name: str) -> Iterator[tuple[int | str, ast.expr]]:
    """Yield the arguments of a task with the place or the name of each."""
    if name in ("delay", "delay_on_commit", "s", "si"):
        yield from enumerate(call.args)
        yield from ((word.arg, word.value) for word in call.keywords if word.arg)
        return
    given = {word.arg: word.value for word in call.keywords}
    offset = 1 if name == "send_task" else 0
    positional = call.args[offset : offset + 2] if name != "signature" else call.args[:1]
    args = positional[0] if positional else given.get("args")
    kwargs = positional[1] if len(positional) > 1 else given.get("kwargs")
    if isinstance(args, ast.Tuple | ast.List):
        yield from enumerate(args.elts)
    if isinstance(kwargs, ast.Dict):
        for key, value in zip(kwargs.keys, kwargs.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


def _check_arguments(look: Look, call: ast.Call, name: str, receiver: ast.expr) -> None:
    function = look.project.task(look.module, dotted(receiver)) if dotted(receiver) else None
    parameters = function.parameters[1 if function.is_bound else 0 :] if function else ()
    for place, value in _arguments(call, name):
        if not (kind := made_by(look, value)):
            continue
        named = [each for at, each in enumerate(parameters) if place in (at, each.name)]
        if not any(each.is_annotated for each in named):
            parameter = named[0].name if named else str(place)
            look.add(
                value,
                Verdict.BY_HAND,
                "argument",
                f"{kind} is no JSON: annotate the parameter, and it comes as what it was",
                f"def {dotted(receiver) or 'task'}(..., {parameter}: {kind})" if named else "",
            )


def _check_result(look: Look, call: ast.Call, name: str) -> None:
    if name in WAITS and look.task is not None:
        look.add(
            call,
            Verdict.BY_HAND,
            ".get() in a task",
            "a task does not wait for another, which may wait behind it",
            "hand the next job in at the end; chain(...) and self.replace(...) wait for workflows",
        )
    if name == "get":
        look.refuse_words(call, dict.fromkeys(("on_message", "callback", "on_interval"), _EVENTS))
    if name == "forget":
        look.refuse(call, "forget()", _FORGET)
    if name in ("then", "join", "iterate", "build_graph"):
        look.add(call, Verdict.REFUSED, f"{name}()", WORKFLOWS)


def check_canvas(look: Look, node: ast.expr) -> None:
    """Check chains, groups, chords and signatures, in each form."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        if _is_signature(look, node.left) or _is_signature(look, node.right):
            look.add(node, Verdict.REFUSED, "a.s() | b.s()", WORKFLOWS)
    elif isinstance(node, ast.Call):
        meant = look.meant(node.func)
        if meant in _CANVAS:
            look.add(node, Verdict.REFUSED, f"{str(meant).rpartition('.')[2]}(...)", WORKFLOWS)


def _is_signature(look: Look, node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in SIGNATURES
        and (_is_task(look, node.func.value) or node.func.attr != "signature")
    )
