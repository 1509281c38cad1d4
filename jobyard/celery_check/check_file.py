"""Reads one file from top to bottom, and gives each place to the rules that know it."""

import ast

from jobyard.celery_check.finding import Finding, Verdict
from jobyard.celery_check.import_edits import import_edits
from jobyard.celery_check.look import Look
from jobyard.celery_check.module import Function, Module, dotted
from jobyard.celery_check.project import Project
from jobyard.celery_check.rules import apps, calls, configuration, inside_tasks, names, tasks, testing
from jobyard.celery_check.source_file import SourceFile


def check_file(project: Project, module: Module, source: SourceFile) -> list[Finding]:
    """Return what is to be said about a file, in the order of its lines."""
    look = Look(project, module, source)
    for change in import_edits(source):
        look.add(change.node, Verdict.BY_IMPORT, "import", change.before, change.after)
    _visit_all(look.inside(results=calls.results_in(look, source.tree)), source.tree, "", is_top=True)
    return sorted(look.findings, key=lambda each: (each.line, each.column))


def _visit_all(look: Look, node: ast.AST, class_name: str, is_top: bool) -> None:
    for child in ast.iter_child_nodes(node):
        _visit(look, child, class_name, is_top)


def _visit(look: Look, node: ast.AST, class_name: str, is_top: bool) -> None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        _visit_function(look, node, class_name)
        return
    if isinstance(node, ast.ClassDef):
        if project_class(look, node):
            tasks.check_base_class(look, node)
        _visit_all(look, node, node.name, is_top)
        return
    if isinstance(node, ast.Assign | ast.AnnAssign):
        configuration.check_assignment(look, node, class_name, is_top)
        if isinstance(node, ast.Assign) and any(dotted(each) == "pytest_plugins" for each in node.targets):
            testing.check_plugins(look, node)
    elif isinstance(node, ast.Import | ast.ImportFrom):
        names.check_import(look, node)
    elif isinstance(node, ast.Call):
        _check_call(look, node)
        if dotted(node.func).endswith(".add_periodic_task"):
            look = look.inside(is_scheduled=True)
    elif isinstance(node, ast.Dict):
        configuration.check_dict_of_sections(look, node)
    elif isinstance(node, ast.BinOp):
        calls.check_canvas(look, node)
    elif isinstance(node, ast.Attribute):
        names.check_reached_name(look, node)
        _visit_attributes(look, node)
        return
    # A settings module may choose by `if` and `try` at its top.
    _visit_all(look, node, class_name, is_top)


def _visit_attributes(look: Look, node: ast.expr) -> None:
    """Check `a.b.c`, `a.b` and then `a`."""
    while isinstance(node, ast.Attribute):
        inside_tasks.check_attribute(look, node)
        apps.check_member(look, node)
        node = node.value
    _visit(look, node, "", is_top=False)


def project_class(look: Look, node: ast.ClassDef) -> bool:
    """Tell whether a class is a base class of tasks."""
    bases = [dotted(base) for base in node.bases]
    return any(look.project.is_task_class(look.module, base) for base in bases if base)


def _check_call(look: Look, call: ast.Call) -> None:
    calls.check_call(look, call)
    calls.check_canvas(look, call)
    inside_tasks.check_retry(look, call)
    names.check_raised(look, call)
    apps.check_app(look, call)
    configuration.check_configuring_call(look, call)


def _visit_function(look: Look, node: Function, class_name: str) -> None:
    testing.check_fixtures(look, node)
    inner = look.inside(function=node, results=look.results | calls.results_in(look, node))
    if decorator := tasks.task_decorator(look, node):
        tasks.check_task(look, node, decorator)
        inner = inner.inside(task=node, bound=_bound_name(node, decorator))
    elif class_name and look.project.is_task_class(look.module, class_name) and node.args.args:
        inner = inner.inside(task=node if node.name == "run" else None, bound=node.args.args[0].arg)
    _visit_all(inner, node, "", is_top=False)


def _bound_name(node: Function, decorator: ast.expr) -> str:
    words = decorator.keywords if isinstance(decorator, ast.Call) else []
    first = [*node.args.posonlyargs, *node.args.args][:1]
    is_bound = any(word.arg == "bind" and not _is_false(word.value) for word in words)
    return first[0].arg if is_bound and first else ""


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not node.value
