"""The edits of a file's imports: which statements become which, everything else staying as it is written."""

import ast

from jobyard.celery_check.from_imports import move_from
from jobyard.celery_check.import_edit import ImportEdit, ImportEdits
from jobyard.celery_check.module_imports import move_module
from jobyard.celery_check.source_file import SourceFile


def import_edits(source: SourceFile) -> list[ImportEdit]:
    """Return the edits of a file, by statement; none where all of it has moved."""
    edits = ImportEdits(source)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("celery"):
            move_from(edits, node)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "celery" or alias.name.startswith("celery."):
                    move_module(edits, node, alias)
    return edits.found
