"""All modules that were read, and what a dotted name in one of them stands for."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from jobyard.celery_check.celery_names import CANONICAL, MOVED, canonical
from jobyard.celery_check.module import Definition, Module

TASK_DECORATORS: Final = frozenset({"celery.shared_task", "celery.task"})
_STAR_NAMES: Final = {
    name.rpartition(".")[2]: name for name in {*CANONICAL.values(), *MOVED} if name.count(".") == 1
}
# How many imports and names are followed from one to the next.
DEPTH: Final = 12


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name is defined in the code that was read."""

    module: str
    name: str


Meant = Place | str  # a place, or the dotted name of something that was not read


@dataclass
class Project:
    """The modules by name, and the settings that are known of the whole."""

    modules: dict[str, Module] = field(default_factory=dict)
    namespaces: set[str] = field(default_factory=set)  # of config_from_object(..., namespace=)
    config_modules: set[str] = field(default_factory=set)
    config_classes: set[str] = field(default_factory=set)
    acks_late: bool = False

    def add(self, module: Module, *other_names: str) -> None:
        """Make a module known by its name, and by others that imports may use."""
        for name in (module.name, *other_names):
            self.modules.setdefault(name, module)

    def meant(self, module: Module, name: str, depth: int = DEPTH) -> Meant:
        """Return what a dotted name in a module stands for; Celery's and Jobyard's by one name each."""
        first, _, rest = name.partition(".")
        if not depth or not first:
            return name
        if first in ("self", "cls") and rest:
            return self.meant(module, rest, depth - 1)
        if first in module.imports:
            return self._imported(_joined(module.imports[first], rest), depth - 1)
        if any(first in each for each in (module.assigned, module.functions, module.bases)):
            return Place(module.name, name)
        if first in module.configured and first not in module.aliases:
            return Place(module.name, name)
        if first in module.aliases:
            return self.meant(module, _joined(module.aliases[first], rest), depth - 1)
        return self._from_star(module, first, rest, depth - 1) or name

    def _imported(self, name: str, depth: int) -> Meant:
        if name.partition(".")[0] in ("celery", "jobyard", "kombu"):
            return canonical(name)
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            if (found := self.modules.get(".".join(parts[:length]))) is not None:
                rest = ".".join(parts[length:])
                return self.meant(found, rest, depth) if rest else name
        return name

    def _from_star(self, module: Module, first: str, rest: str, depth: int) -> Meant | None:
        for source in module.stars:
            if source == "celery" and first in _STAR_NAMES:
                return canonical(_joined(_STAR_NAMES[first], rest))
            other = self.modules.get(source)
            if other is not None and other is not module:
                found = self.meant(other, _joined(first, rest), depth)
                if isinstance(found, Place) or found.startswith("celery"):
                    return found
        return None

    def is_app(self, module: Module, name: str, depth: int = DEPTH) -> bool:
        """Tell whether a name is an application of Celery's or Jobyard's."""
        found = self.meant(module, name, depth)
        if found == "celery.current_app":
            return True
        if not isinstance(found, Place):
            # An application that comes from code that was not read is known by its name alone.
            last = found.rpartition(".")[2].lower()
            return not found.startswith(("celery.", "kombu.")) and "celery" in last and found != "celery"
        other = self.modules[found.module]
        if found.name.rpartition(".")[2] in other.configured:
            return True
        called = other.assigned.get(found.name) or other.assigned.get(found.name.rpartition(".")[2])
        return bool(called) and depth > 0 and self._makes_app(other, called or "", depth - 1)

    def _makes_app(self, module: Module, called: str, depth: int) -> bool:
        found = self.meant(module, called, depth)
        if found == "celery.Celery":
            return True
        if not isinstance(found, Place) or not depth:
            return False
        other = self.modules[found.module]
        if bases := other.bases.get(found.name):
            return any(self._makes_app(other, base, depth - 1) for base in bases)
        made = other.functions.get(found.name)
        return made is not None and any(
            self.meant(other, inner, depth - 1) == "celery.Celery" for inner in made.calls
        )

    def is_task_decorator(self, module: Module, name: str) -> bool:
        """Tell whether a decorator declares a task."""
        found = self.meant(module, name)
        if isinstance(found, str) and found in TASK_DECORATORS:
            return True
        head, _, last = name.rpartition(".")
        return last == "task" and bool(head) and self.is_app(module, head)

    def task(self, module: Module, name: str) -> Definition | None:
        """Return the function of the task that a name stands for."""
        found = self.meant(module, name)
        if not isinstance(found, Place):
            return None
        other = self.modules[found.module]
        function = other.functions.get(found.name)
        if function and any(self.is_task_decorator(other, each) for each in function.decorators if each):
            return function
        return None

    def is_task_class(self, module: Module, name: str, depth: int = DEPTH) -> bool:
        """Tell whether a name is Celery's Task, or a class that is derived from it."""
        found = self.meant(module, name, depth)
        if found == "celery.Task" or found == "celery.contrib.django.task.DjangoTask":
            return True
        if name.endswith(".Task") and self.is_app(module, name.removesuffix(".Task")):
            return True
        if not isinstance(found, Place) or not depth:
            return False
        other = self.modules[found.module]
        return any(
            self.is_task_class(other, base, depth - 1) for base in other.bases.get(found.name, ()) if base
        )

    def has_flag(self, module: Module, name: str, flag: str) -> bool:
        """Tell whether a class, or one that it is derived from, sets an attribute to True."""
        return any(flag in other.true_flags.get(own, ()) for other, own in self._classes(module, name))

    def has_attribute(self, module: Module, name: str, attribute: str) -> bool:
        """Tell whether a class, or one that it is derived from, sets an attribute."""
        return any(attribute in other.attributes.get(own, ()) for other, own in self._classes(module, name))

    def _classes(self, module: Module, name: str, depth: int = DEPTH) -> Iterator[tuple[Module, str]]:
        """Yield a class that was read, and those that it is derived from, with their modules."""
        found = self.meant(module, name, depth)
        if not isinstance(found, Place) or not depth:
            return
        other = self.modules[found.module]
        yield other, found.name
        for base in other.bases.get(found.name, ()):
            if base:
                yield from self._classes(other, base, depth - 1)


def _joined(first: str, rest: str) -> str:
    return f"{first}.{rest}" if rest else first
