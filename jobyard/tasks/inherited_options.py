"""Options of a task that its base class says.

What the declaration says comes first, then the class, and then our defaults.
"""

from collections.abc import Mapping
from typing import Any, Final

from jobyard.tasks.task_options import HOOKS, KNOWN, REFUSED

# An attribute of None says nothing, except here: for ever.
_NONE_COUNTS: Final = frozenset({"max_retries"})


def resolve_options(
    base: type | None, root: type, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a declaration's options with those that `base` has, and the attributes of the task's own class.

    Only classes that are derived from `root` count. As in Celery, an option that such a class has as an
    attribute becomes one of the task's class, and so does a hook.
    """
    own = _attributes(base, root)
    inherited = {
        name: value
        for name, value in own.items()
        if (name in KNOWN or name in REFUSED) and (value is not None or name in _NONE_COUNTS)
    }
    members = {
        name: value for name, value in given.items() if name not in KNOWN and (name in own or name in HOOKS)
    }
    return inherited | {name: value for name, value in given.items() if name not in members}, members


def _attributes(base: type | None, root: type) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    if isinstance(base, type) and issubclass(base, root):
        derived = base.__mro__[: base.__mro__.index(root)]
        for one in reversed(derived):
            attributes |= {name: value for name, value in vars(one).items() if not name.startswith("__")}
    return attributes
