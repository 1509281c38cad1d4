"""Annotations of a task's parameters and result: those of which no model can be made."""

import ast
from collections.abc import Iterator
from typing import Final

from jobyard.celery_check.finding import Verdict
from jobyard.celery_check.look import Look
from jobyard.celery_check.module import Function, dotted
from jobyard.celery_check.project import Place

_UNKNOWN_BASES: Final = ("django.db.models.Model", "sqlalchemy.orm.DeclarativeBase", "celery.")
_UNKNOWN: Final = (
    "django.http.HttpRequest",
    "fastapi.Request",
    "flask.Request",
    "requests.Response",
    "requests.Session",
    "sqlalchemy.orm.Session",
    "starlette.requests.Request",
)
_SECRETS: Final = ("pydantic.SecretStr", "pydantic.SecretBytes")


def check_annotations(look: Look, function: Function) -> None:
    """Check what a task says of the types of its parameters and its result."""
    arguments = function.args
    parameters = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    is_bound = look.module.functions.get(function.name)
    if is_bound is not None and is_bound.is_bound:
        parameters = parameters[1:]
    for annotation in (*(each.annotation for each in parameters), function.returns):
        for node in _names_in(annotation):
            _check(look, node)


def _names_in(annotation: ast.expr | None) -> Iterator[ast.expr]:
    """Yield the names that an annotation is made of, those in quotes included."""
    waiting: list[ast.AST] = [annotation] if annotation is not None else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                quoted = ast.parse(node.value, mode="eval").body
            except (SyntaxError, ValueError):
                continue
            waiting.append(ast.copy_location(quoted, node))
        elif isinstance(node, ast.Name | ast.Attribute) and dotted(node):
            yield node
        elif node is not None:
            waiting.extend(ast.iter_child_nodes(node))


def _check(look: Look, node: ast.expr) -> None:
    name = dotted(node)
    if not hasattr(node, "lineno"):
        return
    if name.partition(".")[0] in look.module.for_types:
        sentence = f"{name} is imported under TYPE_CHECKING alone, and the payload's model needs it"
        look.add(node, Verdict.BY_HAND, "annotation", sentence, "import it at the top of the module")
    elif look.meant(name) in _SECRETS:
        sentence = f"{name} is stored as asterisks: keep the secret in a setting, or use a plain str"
        look.add(node, Verdict.BY_HAND, "annotation", sentence)
    elif _is_unknown(look, name):
        sentence = f"no payload can be made of a {name}: take its id, and look it up in the task"
        look.add(node, Verdict.BY_HAND, "annotation", sentence, f"{name.rpartition('.')[2].lower()}_id: int")


def _is_unknown(look: Look, name: str) -> bool:
    meant = look.meant(name)
    if not isinstance(meant, Place):
        return meant in _UNKNOWN
    module = look.project.modules[meant.module]
    bases = module.bases.get(meant.name)
    if bases is None or meant.name in module.decorated:
        return False
    if not [base for base in bases if base != "object"]:
        return True
    found = (look.project.meant(module, base) for base in bases if base)
    return any(isinstance(base, str) and base.startswith(_UNKNOWN_BASES) for base in found)
