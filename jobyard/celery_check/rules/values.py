"""Which expressions make a value that is no JSON, and of which type."""

import ast
from typing import Final

from jobyard.celery_check.look import Look

# By the name of what is called, from its module on, or by its last two parts where the module is Django's.
_MADE_BY: Final = {
    "datetime.datetime.now": "datetime",
    "datetime.datetime.utcnow": "datetime",
    "datetime.datetime.today": "datetime",
    "datetime.datetime.fromtimestamp": "datetime",
    "datetime.datetime.fromisoformat": "datetime",
    "datetime.datetime.strptime": "datetime",
    "datetime.datetime.combine": "datetime",
    "datetime.datetime": "datetime",
    "datetime.date.today": "date",
    "datetime.date": "date",
    "datetime.time": "time",
    "datetime.timedelta": "timedelta",
    "django.utils.timezone.now": "datetime",
    "uuid.uuid1": "UUID",
    "uuid.uuid4": "UUID",
    "uuid.uuid7": "UUID",
    "uuid.UUID": "UUID",
    "decimal.Decimal": "Decimal",
    "pathlib.Path": "Path",
    "set": "set[...]",
    "frozenset": "frozenset[...]",
    "bytes": "bytes",
    "bytearray": "bytes",
    "complex": "complex",
}


def made_by(look: Look, node: ast.expr) -> str:
    """Return the type of a value that is no JSON, where that can be seen; else an empty text."""
    if isinstance(node, ast.BinOp):
        return made_by(look, node.left) or made_by(look, node.right)
    if isinstance(node, ast.Set | ast.SetComp):
        return "set[...]"
    if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
        return "bytes"
    if isinstance(node, ast.Call):
        meant = look.meant(node.func)
        return _MADE_BY.get(meant, "") if isinstance(meant, str) else ""
    return ""
