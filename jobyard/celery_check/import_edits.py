"""The edits of imports: which statements become which, everything else staying as it is written.

Three things are edited: the statements, the name `Celery` where it becomes `Jobyard`, and names that are
reached through a module (`celery.shared_task`).
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from jobyard.celery_check.celery_names import MOVED_MODULES, canonical, moved_to
from jobyard.celery_check.module import Module, dotted
from jobyard.celery_check.project import Project
from jobyard.celery_check.source_file import SourceFile, TextEdit

_FROM: Final = re.compile(r"from(?:\s|\\\r?\n)+(\.*[\w.]+)")
# A longer import is written in parentheses.
LONGEST_LINE: Final = 100


@dataclass(frozen=True)
class ImportEdit:
    """One statement or name that moves: how it is written, what it becomes, and the edits for it."""

    node: ast.stmt | ast.expr
    before: str
    after: str
    edits: tuple[TextEdit, ...]


@dataclass(frozen=True)
class _Target:
    """A name of a `from` statement, and what it is called here; no module where it stays."""

    alias: ast.alias
    module: str = ""
    written: str = ""


@dataclass
class _Edits:
    source: SourceFile
    found: list[ImportEdit] = field(default_factory=list)

    def add(self, node: ast.stmt | ast.expr, after: str, edits: Sequence[TextEdit]) -> None:
        before = ast.unparse(node)
        self.found.append(ImportEdit(node, before, after, tuple(edits)))


def import_edits(project: Project, module: Module, source: SourceFile) -> list[ImportEdit]:
    """Return the edits of a file, by statement; none where all of it has moved."""
    edits = _Edits(source)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("celery"):
            _move_from(edits, node)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "celery" or alias.name.startswith("celery."):
                    _move_module(edits, module, node, alias)
    return edits.found


def _move_from(edits: _Edits, node: ast.ImportFrom) -> None:
    targets = [_target(edits.source, node, alias) for alias in node.names if alias.name != "*"]
    moved = [target for target in targets if target.module]
    if not moved:
        return
    by_module: dict[str, list[_Target]] = defaultdict(list)
    for target in moved:
        by_module[target.module].append(target)
    statements = [
        f"from {name} import {', '.join(target.written for target in group)}"
        for name, group in by_module.items()
    ]
    text_edits = list(_renamed_uses(edits.source, moved))
    if len(moved) == len(targets) == len(node.names) and len(by_module) == 1:
        text_edits += _in_place(edits.source, node, moved)
    else:
        text_edits += _split(edits.source, node, targets, by_module)
        kept = [edits.source.segment(target.alias) for target in targets if not target.module]
        statements = [*([f"from {node.module} import {', '.join(kept)}"] if kept else []), *statements]
    edits.add(node, "; ".join(statements), text_edits)


def _target(source: SourceFile, node: ast.ImportFrom, alias: ast.alias) -> _Target:
    name = canonical(f"{node.module}.{alias.name}")
    if (moved := moved_to(name)) is None:
        return _Target(alias)
    module, here = moved
    local = alias.asname or alias.name
    # Names keep what they are called in this file, but for the application's class.
    is_renamed = not alias.asname and here == "Jobyard" and _can_rename(source.tree, alias.name, here)
    written = f"{here} as {local}" if local != here and not is_renamed else here
    if alias.asname == here:
        written = here
    return _Target(alias, module, written)


def _can_rename(tree: ast.Module, name: str, new_name: str) -> bool:
    """Tell whether every use of a name in a file is a plain one, and the new name is free."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=used, ctx=context):
                if used == new_name or (used == name and not isinstance(context, ast.Load)):
                    return False
            case ast.Constant(value=str() as text):
                if re.search(rf"\b{name}\b", text) and len(text) < LONGEST_LINE and " " not in text.strip():
                    return False
            case ast.arg(arg=used) | ast.ExceptHandler(name=used):
                if used in (name, new_name):
                    return False
            case ast.FunctionDef(name=used) | ast.AsyncFunctionDef(name=used) | ast.ClassDef(name=used):
                if used in (name, new_name):
                    return False
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                if name in names:
                    return False
            case ast.alias():
                if (node.asname or node.name) == new_name:
                    return False
    return True


def _renamed_uses(source: SourceFile, moved: Sequence[_Target]) -> Iterator[TextEdit]:
    for target in moved:
        local = target.alias.asname or target.alias.name
        if target.written == "Jobyard" and local != "Jobyard":
            for node in ast.walk(source.tree):
                if isinstance(node, ast.Name) and node.id == local:
                    yield TextEdit(*source.span(node), "Jobyard")


def _in_place(source: SourceFile, node: ast.ImportFrom, moved: Sequence[_Target]) -> Iterator[TextEdit]:
    """Write the statement with another module, and the names that differ."""
    start, end = source.span(node)
    match = _FROM.match(source.text, start, end)
    assert match is not None
    yield TextEdit(*match.span(1), moved[0].module)
    for target in moved:
        if source.segment(target.alias) != target.written:
            yield TextEdit(*source.span(target.alias), target.written)


def _split(
    source: SourceFile, node: ast.ImportFrom, targets: Sequence[_Target], by_module: dict[str, list[_Target]]
) -> Iterator[TextEdit]:
    """Take the names that move out of the statement, and import them in another behind it."""
    start, end = source.span(node)
    segment = source.text[start:end]
    line_start, _ = source.line_of(start)
    _, last_end = source.line_of(end)
    indent, behind = source.text[line_start:start], source.text[end:last_end]
    is_alone = not indent.strip() and (not behind.strip() or behind.lstrip().startswith("#"))
    kept = [target for target in targets if not target.module]
    carried: dict[str, list[str]] = defaultdict(list)
    if kept and "\n" in segment and "\\" not in segment:
        yield from _taken_out(source, targets, carried if is_alone else None)
    elif kept:
        first, last = source.span(targets[0].alias)[0], source.span(targets[-1].alias)[1]
        names = ", ".join(source.segment(target.alias) for target in kept)
        yield TextEdit(first, last, names)
    new = [
        _statement(name, group, carried[name], indent, source.newline if is_alone else "")
        for name, group in by_module.items()
    ]
    if not kept:
        yield TextEdit(start, end, f"{source.newline}{indent}".join(new) if is_alone else "; ".join(new))
    elif is_alone:
        text = "".join(f"{indent}{statement}{source.newline}" for statement in new)
        is_last = last_end == len(source.text) and not behind.endswith(("\n", "\r"))
        yield TextEdit(last_end, last_end, f"{source.newline}{text.rstrip()}" if is_last else text)
    else:
        yield TextEdit(end, end, "".join(f"; {statement}" for statement in new))


def _statement(module: str, group: Sequence[_Target], lines: list[str], indent: str, newline: str) -> str:
    """Write a new import; `lines` are those of the old one, with their comments."""
    if lines and newline:
        return f"from {module} import ({newline}{''.join(lines)}{indent})"
    names = ", ".join(target.written for target in group)
    statement = f"from {module} import {names}"
    if len(indent) + len(statement) <= LONGEST_LINE or not newline:
        return statement
    inner = "".join(f"{indent}    {target.written},{newline}" for target in group)
    return f"from {module} import ({newline}{inner}{indent})"


def _taken_out(
    source: SourceFile, targets: Sequence[_Target], carried: dict[str, list[str]] | None
) -> Iterator[TextEdit]:
    """Delete the names that move from a statement of several lines, and lines with nothing else on them.

    `carried` gets the lines that have comments, for the new statement.
    """
    spans = [source.span(target.alias) for target in targets]
    has_comments = {target.module: False for target in targets}
    alone: dict[int, tuple[int, int]] = {}
    for at, (target, (start, end)) in enumerate(zip(targets, spans, strict=True)):
        line_start, line_end = source.line_of(start)
        before, behind = source.text[line_start:start], source.text[end:line_end]
        is_on_its_line = not before.strip() and re.fullmatch(r"\s*,?\s*(#.*)?\s*", behind)
        # A comment stays where there is no line to take it to.
        if target.module and is_on_its_line and (carried is not None or "#" not in behind):
            alone[at] = (line_start, line_end)
            has_comments[target.module] |= "#" in behind
    for line_start, line_end in alone.values():
        yield TextEdit(line_start, line_end, "")
    for module in {target.module for target in targets} - {""}:
        if carried is not None and has_comments[module]:
            for at, target in enumerate(targets):
                if target.module == module:
                    carried[module].append(_carried_line(source, target, spans[at], alone.get(at)))
    at = 0
    while at < len(targets):
        if not targets[at].module or at in alone:
            at += 1
            continue
        last = at
        while last + 1 < len(targets) and targets[last + 1].module and last + 1 not in alone:
            if source.line_of(spans[last + 1][0]) != source.line_of(spans[at][0]):
                break
            last += 1
        yield _run_taken_out(source, spans, at, last)
        at = last + 1


def _carried_line(
    source: SourceFile, target: _Target, span: tuple[int, int], line: tuple[int, int] | None
) -> str:
    if line is None:
        return f"    {target.written},{source.newline}"
    text = source.text[line[0] : span[0]] + target.written
    behind = source.text[span[1] : line[1]]
    return text + (behind if behind.lstrip().startswith(",") else f",{behind}")


def _run_taken_out(source: SourceFile, spans: list[tuple[int, int]], first: int, last: int) -> TextEdit:
    line = source.line_of(spans[first][0])
    if last + 1 < len(spans) and source.line_of(spans[last + 1][0]) == line:
        return TextEdit(spans[first][0], spans[last + 1][0], "")
    if first and source.line_of(spans[first - 1][0]) == line:
        return TextEdit(spans[first - 1][1], spans[last][1], "")
    comma = re.compile(r"\s*,").match(source.text, spans[last][1])
    return TextEdit(spans[first][0], comma.end() if comma else spans[last][1], "")


def _move_module(edits: _Edits, module: Module, node: ast.Import, alias: ast.alias) -> None:
    """Move `import celery`, with or without `as` or a submodule, and the names that are reached by it."""
    source = edits.source
    if alias.asname and alias.name in MOVED_MODULES:
        written = f"{MOVED_MODULES[alias.name]} as {alias.asname}"
        edits.add(node, f"import {written}", [TextEdit(*source.span(alias), written)])
        return
    local = alias.asname or "celery"
    target = alias.name if alias.asname else "celery"
    if _is_stored(source.tree, local):
        return
    moved, staying = _reached(source.tree, local, target)
    # `import celery.signals` and `import celery` give the same name: one of them is enough.
    if not moved or any(each.node is not node and "import jobyard" in each.after for each in edits.found):
        return
    prefix = alias.asname if alias.asname and not staying else "jobyard"
    text_edits = []
    for reached, (here_module, name) in moved:
        rest = here_module.removeprefix("jobyard").lstrip(".")
        written = ".".join(part for part in (prefix, rest, name) if part)
        if source.segment(reached) != written:
            text_edits.append(TextEdit(*source.span(reached), written))
            edits.add(reached, written, [])
    statement = f"import jobyard{f' as {alias.asname}' if alias.asname and not staying else ''}"
    if staying:
        text_edits.append(_behind(source, node, "import jobyard"))
    else:
        text_edits.append(TextEdit(*source.span(alias), statement.removeprefix("import ")))
    after = f"{ast.unparse(node)}; import jobyard" if staying else statement
    edits.add(node, after, text_edits)


def _is_stored(tree: ast.Module, name: str) -> bool:
    """Tell whether a name is also given to something else than a module."""
    return any(
        (isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load))
        or (isinstance(node, ast.arg) and node.arg == name)
        or (
            isinstance(node, ast.ImportFrom)
            and any((each.asname or each.name) == name for each in node.names)
        )
        for node in ast.walk(tree)
    )


def _reached(
    tree: ast.Module, local: str, target: str
) -> tuple[list[tuple[ast.Attribute, tuple[str, str]]], int]:
    """Return the names that are reached by a module and move, and how many uses of it stay."""
    moved: list[tuple[ast.Attribute, tuple[str, str]]] = []
    staying = 0
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Attribute) and (name := dotted(node)) and name.partition(".")[0] == local:
            for inner in _chain(node):
                absolute = canonical(f"{target}{dotted(inner).removeprefix(local)}")
                if (here := moved_to(absolute)) is not None and absolute != "celery.signals":
                    moved.append((inner, here))
                    break
            else:
                staying += 1
        elif isinstance(node, ast.Name) and node.id == local:
            staying += 1
        else:
            waiting.extend(ast.iter_child_nodes(node))
    others = sum(
        1
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if not alias.asname and alias.name.startswith("celery.") and alias.name not in MOVED_MODULES
    )
    return moved, staying + (others if local == "celery" else 0)


def _chain(node: ast.Attribute) -> Iterator[ast.Attribute]:
    """Yield `a.b`, `a.b.c`, ... of a dotted name, the shortest first."""
    if isinstance(node.value, ast.Attribute):
        yield from _chain(node.value)
    yield node


def _behind(source: SourceFile, node: ast.stmt, statement: str) -> TextEdit:
    """Add a statement behind another: on a line of its own, where the other has one."""
    start, end = source.span(node)
    line_start, _ = source.line_of(start)
    _, last_end = source.line_of(end)
    indent, behind = source.text[line_start:start], source.text[end:last_end]
    if indent.strip() or (behind.strip() and not behind.lstrip().startswith("#")):
        return TextEdit(end, end, f"; {statement}")
    if last_end == len(source.text) and not behind.endswith(("\n", "\r")):
        return TextEdit(last_end, last_end, f"{source.newline}{indent}{statement}")
    return TextEdit(last_end, last_end, f"{indent}{statement}{source.newline}")
