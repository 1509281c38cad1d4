"""Names of Celery's and kombu's: where they are imported, and where they are reached through a module."""

import ast
from typing import Final

from jobyard.celery_check.celery_names import MOVED, canonical, moved_to, refusal_of, stays
from jobyard.celery_check.finding import Verdict
from jobyard.celery_check.look import Look
from jobyard.celery_check.module import dotted

_PACKAGES: Final = (
    "celery",
    "kombu",
    "django_celery_beat",
    "django_celery_results",
    "celery_once",
    "celery_singleton",
    "celery_batches",
    "redbeat",
    "pytest_celery",
)
_UNKNOWN: Final = "this name of Celery's is not known here: see what it is used for"


def check_import(look: Look, node: ast.Import | ast.ImportFrom) -> None:
    """Check the names that a statement imports, but for those that move."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            _check_name(look, alias, alias.name)
        return
    source = look.module.absolute(node.level, node.module)
    if node.level or source.partition(".")[0] not in _PACKAGES:
        return
    for alias in node.names:
        if alias.name == "*":
            if source == "celery" or (source.startswith("celery.") and not stays(source)):
                look.add(
                    node,
                    Verdict.BY_HAND,
                    "import *",
                    "name what is imported",
                    f"from jobyard import {', '.join(_names_used(look)) or '...'}",
                )
        else:
            _check_name(look, alias, f"{source}.{alias.name}")


def _names_used(look: Look) -> list[str]:
    """Return the names of this module that a star brought from Celery, as they are called here."""
    used = {node.id for node in ast.walk(look.source.tree) if isinstance(node, ast.Name)}
    found = (look.meant(name) for name in used if name not in look.module.imports)
    return sorted({MOVED[name][1] for name in found if isinstance(name, str) and name in MOVED})


def _check_name(look: Look, node: ast.alias | ast.Attribute, name: str) -> None:
    if name.partition(".")[0] not in _PACKAGES:
        return
    name = canonical(name)
    if (refusal := refusal_of(name)) is not None:
        look.refuse(node, name, refusal)
    elif name.startswith("celery.") and moved_to(name) is None and not stays(name) and "._" not in name:
        look.add(node, Verdict.BY_HAND, name, _UNKNOWN)


def check_reached_name(look: Look, node: ast.Attribute) -> None:
    """Check a name that is reached through a module: `celery.chain`, `exceptions.Reject`."""
    name = dotted(node)
    first, _, rest = name.partition(".")
    target = canonical(look.module.imports.get(first, ""))
    # What was imported by its own name is said where it is imported.
    if not rest or not _is_module(target):
        return
    meant = look.meant(name)
    if isinstance(meant, str) and not any(
        meant.startswith(f"{moved}.") for moved in MOVED if moved != "celery.signals"
    ):
        _check_name(look, node, meant)


def _is_module(target: str) -> bool:
    if target.partition(".")[0] not in ("celery", "kombu"):
        return False
    return target == "celery.signals" or (target not in MOVED and refusal_of(target) is None)


def check_raised(look: Look, call: ast.Call) -> None:
    """Check `Reject(...)`, wherever its name comes from."""
    if look.meant(call.func) == "celery.exceptions.Reject" and (
        refusal := refusal_of("celery.exceptions.Reject")
    ):
        look.refuse(call, "Reject", refusal)
