"""`task.s(...)`: a call that a schedule makes later; as a part of a workflow it is not there yet."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from jobyard.jobs.errors import CallRefusedError
from jobyard.tasks.not_there import without_workflows


class PlannedCall:
    """A call for `add_periodic_task`; all else that Celery does with one raises `CallRefusedError`."""

    def __init__(
        self,
        task: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.task, self.args, self.kwargs = task, tuple(args or ()), dict(kwargs or {})
        self.options = dict(options or {})

    def __repr__(self) -> str:
        arguments = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"{self.task}({', '.join(arguments)})"

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise CallRefusedError(without_workflows(self.task, "signature"))

    __call__ = __or__ = __ror__ = __getitem__ = _refuse
    delay = apply_async = apply = clone = set = link = link_error = on_error = freeze = replace = _refuse

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            """Refuse what `group` and its kin ask of a signature, but for Python's own names."""
            if name.startswith("__"):
                raise AttributeError(name)
            self._refuse()
