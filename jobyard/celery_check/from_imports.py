"""The edits of `from celery import ...`: which names move, and how the statement is then written."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from jobyard.celery_check.celery_names import canonical, moved_to
from jobyard.celery_check.import_edit import ImportEdits
from jobyard.celery_check.source_file import SourceFile, TextEdit

_FROM: Final = re.compile(r"from(?:\s|\\\r?\n)+(\.*[\w.]+)")
# A longer import is written in parentheses.
LONGEST_LINE: Final = 100


@dataclass(frozen=True)
class _Target:
    """A name of a `from` statement, and what it is called here; no module where it stays."""

    alias: ast.alias
    module: str = ""
    written: str = ""


def move_from(edits: ImportEdits, node: ast.ImportFrom) -> None:
    """Move the names of `from celery... import`, and the name `Celery` where it becomes `Jobyard`."""
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
