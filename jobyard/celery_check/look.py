"""What the rules are given: one file in its project, the place in it, and a list for what they find."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from jobyard.celery_check.celery_names import WORKFLOWS, Refusal
from jobyard.celery_check.finding import Finding, Verdict
from jobyard.celery_check.module import Function, Module, dotted
from jobyard.celery_check.project import Meant, Project
from jobyard.celery_check.source_file import SourceFile


@dataclass(frozen=True)
class Look:
    """One place of one file; `task` is the function of the task around it, `bound` its name for itself."""

    project: Project
    module: Module
    source: SourceFile
    findings: list[Finding] = field(default_factory=list)
    task: Function | None = None
    bound: str = ""
    results: frozenset[str] = frozenset()  # names that hold the result of a call, in the function around
    function: Function | None = None
    is_scheduled: bool = False  # among the arguments of add_periodic_task

    def inside(self, **changes: object) -> "Look":
        """Return the same look at a place further inside."""
        return replace(self, **changes)  # type: ignore[arg-type]  # the fields are checked by their users

    def meant(self, node: ast.AST | str) -> Meant:
        """Return what an expression of names stands for; an empty text for any other expression."""
        name = node if isinstance(node, str) else dotted(node)
        return self.project.meant(self.module, name) if name else ""

    def is_app(self, node: ast.AST | str) -> bool:
        """Tell whether an expression is an application."""
        name = node if isinstance(node, str) else dotted(node)
        return bool(name) and self.project.is_app(self.module, name)

    def add(
        self,
        node: ast.expr | ast.stmt | ast.alias | ast.keyword | ast.arg,
        verdict: Verdict,
        idiom: str,
        sentence: str,
        edit: str = "",
    ) -> None:
        """Say something about a place."""
        column = len(self.source.lines[node.lineno - 1].encode()[: node.col_offset].decode(errors="ignore"))
        found = Finding(self.source.path, node.lineno, column + 1, verdict, idiom, sentence, edit)
        # A signature inside of a chain waits for the same as the chain.
        said = (found.line, found.sentence) if sentence == WORKFLOWS else found
        known = ((each.line, each.sentence) if sentence == WORKFLOWS else each for each in self.findings)
        if said not in known:
            self.findings.append(found)

    def refuse(
        self,
        node: ast.expr | ast.stmt | ast.alias | ast.keyword | ast.arg,
        idiom: str,
        refusal: Refusal,
        **values: str,
    ) -> None:
        """Say why something cannot be kept; `values` fill the braces of its edit."""
        edit = refusal.edit
        for name, value in values.items():
            edit = edit.replace(f"{{{name}}}", value)
        self.add(node, Verdict.BY_HAND if refusal.by_hand else Verdict.REFUSED, idiom, refusal.sentence, edit)

    def refuse_words(self, call: ast.Call, refused: Mapping[str, Refusal]) -> None:
        """Refuse each keyword of a call that is in a table."""
        for word in call.keywords:
            if word.arg is not None and word.arg in refused:
                self.refuse(word, f"{word.arg}=", refused[word.arg], value=self.literal(word.value))

    def literal(self, node: ast.expr) -> str:
        """Return a text as it is, and any other expression as it is written."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        return " ".join(self.source.segment(node).split())
