"""The application: how it is made, and what is asked of it."""

import ast

from jobyard.celery_check.finding import Verdict
from jobyard.celery_check.look import Look
from jobyard.celery_check.module import dotted
from jobyard.celery_check.options import APP_MEMBERS_REFUSED, APP_REFUSED
from jobyard.settings.celery_keys import ONE_QUEUE


def check_app(look: Look, call: ast.Call) -> None:
    """Check `Celery(...)`."""
    meant = look.meant(call.func)
    if meant == "kombu.Queue":
        _check_queue(look, call)
    if meant == "kombu.Exchange":
        _check_exchange(look, call)
    if meant != "celery.Celery":
        return
    look.refuse_words(call, APP_REFUSED)
    if len(call.args) > 1:
        look.add(
            call.args[1], Verdict.BY_HAND, "Celery(...)", "only the name is given by its place", "include=..."
        )


def check_member(look: Look, node: ast.Attribute) -> None:
    """Check what is asked of an application: `app.control.purge`, `app.amqp`."""
    name = dotted(node)
    for length in (1, 2):
        parts = name.rsplit(".", length)
        if len(parts) != length + 1 or not parts[0]:
            return
        member = ".".join(parts[1:])
        if member in APP_MEMBERS_REFUSED and look.is_app(parts[0]):
            look.refuse(node, f"app.{member}", APP_MEMBERS_REFUSED[member])


def _check_queue(look: Look, call: ast.Call) -> None:
    """Check the queue of a `kombu.Queue`; with a direct exchange it gets what is sent to its name."""
    for word in call.keywords:
        if word.arg == "bindings":
            kept = f"Queue({look.source.segment(call.args[0])})" if call.args else "Queue(...)"
            look.add(word, Verdict.BY_HAND, "Queue(bindings=)", ONE_QUEUE, kept)


def _check_exchange(look: Look, call: ast.Call) -> None:
    given = {word.arg: word.value for word in call.keywords}
    kind = call.args[1] if len(call.args) > 1 else given.get("type")
    if isinstance(kind, ast.Constant) and kind.value not in ("direct", "", None):
        look.add(call, Verdict.REFUSED, f"Exchange(type={kind.value!r})", ONE_QUEUE)
