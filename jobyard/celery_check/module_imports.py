"""The edits of `import celery`, and of the names that a file reaches through it (`celery.shared_task`)."""

import ast
from collections.abc import Iterator

from jobyard.celery_check.celery_names import MOVED_MODULES, canonical, moved_to
from jobyard.celery_check.import_edit import ImportEdits
from jobyard.celery_check.module import dotted
from jobyard.celery_check.source_file import SourceFile, TextEdit


def move_module(edits: ImportEdits, node: ast.Import, alias: ast.alias) -> None:
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
