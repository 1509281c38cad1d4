"""One edit of an import, and those of a file."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobyard.celery_check.source_file import SourceFile, TextEdit


@dataclass(frozen=True)
class ImportEdit:
    """One statement or name that moves: how it is written, what it becomes, and the edits for it."""

    node: ast.stmt | ast.expr
    before: str
    after: str
    edits: tuple[TextEdit, ...]


@dataclass
class ImportEdits:
    """The edits of one file, as they are found."""

    source: SourceFile
    found: list[ImportEdit] = field(default_factory=list)

    def add(self, node: ast.stmt | ast.expr, after: str, edits: Sequence[TextEdit]) -> None:
        """Note what a statement or a name becomes."""
        before = ast.unparse(node)
        self.found.append(ImportEdit(node, before, after, tuple(edits)))
