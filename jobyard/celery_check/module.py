"""What one module defines, as far as its text says: imports, applications, tasks, classes and settings."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


# What only an application of Celery's is asked for.
_CONFIGURES: Final = (".config_from_object", ".autodiscover_tasks")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function."""

    name: str
    is_annotated: bool


@dataclass(frozen=True, slots=True)
class Definition:
    """A function: its decorators, its parameters, and what it calls where it returns something."""

    decorators: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    calls: frozenset[str]
    is_bound: bool


@dataclass
class Module:
    """The facts of one module; names are dotted as they are written there."""

    name: str
    is_package: bool = False
    imports: dict[str, str] = field(default_factory=dict)  # local name: what it stands for, absolute
    stars: list[str] = field(default_factory=list)
    configured: set[str] = field(default_factory=set)  # names whose config_from_object is called
    assigned: dict[str, str] = field(default_factory=dict)  # name: the dotted name of what is called for it
    aliases: dict[str, str] = field(default_factory=dict)  # name: another dotted name
    functions: dict[str, Definition] = field(default_factory=dict)
    bases: dict[str, tuple[str, ...]] = field(default_factory=dict)  # class: its bases
    true_flags: dict[str, frozenset[str]] = field(default_factory=dict)  # class: what it sets to True
    attributes: dict[str, frozenset[str]] = field(default_factory=dict)  # class: what it sets
    decorated: set[str] = field(default_factory=set)  # classes with a decorator: a dataclass is one
    for_types: set[str] = field(default_factory=set)  # names imported under TYPE_CHECKING

    def package(self) -> str:
        """Return the package in which relative imports of this module begin."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    def absolute(self, level: int, name: str | None) -> str:
        """Return the absolute name of a `from` import."""
        if not level:
            return name or ""
        parts = self.package().split(".") if self.package() else []
        kept = parts[: len(parts) - level + 1] if level > 1 else parts
        return ".".join([*kept, *([name] if name else [])])


def dotted(node: ast.AST | None) -> str:
    """Return `a.b.c` of an expression of names and attributes, and an empty text for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (head := dotted(node.value)):
        return f"{head}.{node.attr}"
    return ""


def read_module(tree: ast.Module, name: str, is_package: bool) -> Module:
    """Collect the facts of a module, those of its functions and classes included."""
    module = Module(name, is_package)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                module.imports[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            _read_from(module, node)
        elif isinstance(node, ast.Call) and dotted(node.func).endswith(_CONFIGURES):
            module.configured.add(dotted(node.func).split(".")[-2])
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                _read_assignment(module, target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            _read_assignment(module, node.target, node.value)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            module.functions.setdefault(node.name, definition(node))
        elif isinstance(node, ast.If) and dotted(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            module.for_types.update(_imported_in(node.body))
        elif isinstance(node, ast.ClassDef):
            if node.decorator_list:
                module.decorated.add(node.name)
            module.bases[node.name] = tuple(dotted(base) for base in node.bases)
            module.true_flags[node.name] = frozenset(_true_flags(node))
            module.attributes[node.name] = frozenset(_attributes(node))
    return module


def _imported_in(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)


def _read_from(module: Module, node: ast.ImportFrom) -> None:
    source = module.absolute(node.level, node.module)
    for alias in node.names:
        if alias.name == "*":
            module.stars.append(source)
        else:
            module.imports[alias.asname or alias.name] = f"{source}.{alias.name}" if source else alias.name


def _read_assignment(module: Module, target: ast.expr, value: ast.expr | None) -> None:
    # `self.app = Celery(...)` is known by its last name.
    name = target.attr if isinstance(target, ast.Attribute) else dotted(target)
    if not name:
        return
    if isinstance(value, ast.Call) and (called := dotted(value.func)):
        module.assigned.setdefault(name, called)
    elif value is not None and (other := dotted(value)) and other != name:
        module.aliases.setdefault(name, other)


def _true_flags(node: ast.ClassDef) -> Iterator[str]:
    for statement in node.body:
        if isinstance(statement, ast.Assign) and is_true(statement.value):
            yield from (dotted(target) for target in statement.targets)


def _attributes(node: ast.ClassDef) -> Iterator[str]:
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            yield from (dotted(target) for target in statement.targets)
        elif isinstance(statement, ast.AnnAssign):
            yield dotted(statement.target)


def is_true(node: ast.AST | None) -> bool:
    """Tell whether an expression is the word True."""
    return isinstance(node, ast.Constant) and node.value is True


def definition(node: Function) -> Definition:
    """Return the facts of a function."""
    arguments = node.args
    parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    returns = any(isinstance(inner, ast.Return) and inner.value is not None for inner in ast.walk(node))
    calls = (
        frozenset(dotted(inner.func) for inner in ast.walk(node) if isinstance(inner, ast.Call))
        if returns
        else frozenset()
    )
    return Definition(
        tuple(dotted(part.func if isinstance(part, ast.Call) else part) for part in node.decorator_list),
        tuple(Parameter(each.arg, each.annotation is not None) for each in parameters),
        calls,
        any(
            isinstance(part, ast.Call)
            and any(word.arg == "bind" and is_true(word.value) for word in part.keywords)
            for part in node.decorator_list
        ),
    )
