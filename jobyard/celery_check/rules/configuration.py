"""Settings of Celery's: in configuration modules and classes, Django's settings, and `app.conf`."""

import ast
from collections.abc import Iterator
from typing import Final

from jobyard.celery_check.finding import Verdict
from jobyard.celery_check.look import Look
from jobyard.celery_check.module import dotted, is_true
from jobyard.celery_check.options import TASK_REFUSED
from jobyard.settings.celery_keys import ONE_QUEUE, CeleryKey, Meaning, celery_key

NAMESPACE: Final = "CELERY"
_PREFIXES: Final = ("CELERY_", "CELERYD_", "CELERYBEAT_", "BROKER_")
_APPS: Final = {
    "django_celery_beat": "declare each schedule as Schedule(...), and leave the application out",
    "django_celery_results": "results are in the ledger: leave the application out",
}
_ACKS_LATE: Final = frozenset({"task_acks_late", "CELERY_TASK_ACKS_LATE", "CELERY_ACKS_LATE"})
_UNSEEN: Final = object()
_VERDICTS: Final = {
    Meaning.HONOURED: Verdict.BY_IMPORT,
    Meaning.HARMLESS: Verdict.BY_IMPORT,
    Meaning.REFUSED: Verdict.BY_HAND,
}


def is_config_module(look: Look) -> bool:
    """Tell whether a module holds settings by their lower-case names."""
    name = look.module.name
    last = name.rpartition(".")[2].replace("_", "")
    return name in look.project.config_modules or last in ("celeryconfig", "celeryconf", "celerysettings")


def check_assignment(look: Look, node: ast.Assign | ast.AnnAssign, class_name: str, is_top: bool) -> None:
    """Check one assignment, in a module, a class or to `app.conf.KEY`."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    for target in targets:
        if isinstance(target, ast.Attribute) and _is_conf(look, target.value):
            _check_key(look, node, target.attr, node.value)
        elif isinstance(target, ast.Subscript) and _is_conf(look, target.value):
            if isinstance(target.slice, ast.Constant) and isinstance(target.slice.value, str):
                _check_key(look, node, target.slice.value, node.value)
        elif isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
            check_section(look, str(target.slice.value), node.value)
        elif isinstance(target, ast.Name) and is_top:
            _check_name(look, node, target.id, class_name)


def _check_name(look: Look, node: ast.Assign | ast.AnnAssign, name: str, class_name: str) -> None:
    is_lower_case_here = is_config_module(look) if not class_name else _is_config_class(look, class_name)
    if (
        (name.startswith(_PREFIXES) and name.isupper())
        or _in_other_namespace(look, name)
        or is_lower_case_here
    ):
        _check_key(look, node, name, node.value)
    if is_config_dict(look, name):
        _check_dict(look, node.value)
    else:
        check_section(look, name, node.value)
    if name == "INSTALLED_APPS":
        _check_installed(look, node.value)


def _in_other_namespace(look: Look, name: str) -> bool:
    return any(name.startswith(f"{namespace}_") for namespace in look.project.namespaces - {NAMESPACE})


def _is_config_class(look: Look, name: str) -> bool:
    return name in look.project.config_classes or "celery" in name.lower()


def is_config_dict(look: Look, name: str) -> bool:
    """Tell whether a dictionary is given to an application by its name."""
    return name in look.project.config_classes


def _is_conf(look: Look, node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "conf" and look.is_app(node.value)


def _key(look: Look, name: str) -> CeleryKey | None:
    for namespace in sorted({NAMESPACE, *look.project.namespaces}):
        if name.isupper() and name.startswith(f"{namespace}_") and (key := celery_key(name, namespace)):
            return key
    return celery_key(name)


def _check_key(
    look: Look, node: ast.stmt | ast.expr | ast.keyword, name: str, value: ast.expr | None
) -> None:
    key = _key(look, name)
    if key is None:
        return
    meaning = key.meaning_of(_value(value))
    is_off = key.name in ("task_acks_late",) and isinstance(value, ast.Constant) and value.value is False
    if is_off or (meaning is Meaning.REFUSED and isinstance(value, ast.Constant) and value.value is None):
        meaning = Meaning.HARMLESS
    verdict = _VERDICTS[meaning]
    sentence = key.sentence
    if meaning is Meaning.HARMLESS:
        is_so = key.meaning is Meaning.REFUSED
        sentence = "it is so here anyway" if is_so else f"means nothing here: {key.sentence}"
    edit = "remove it" if meaning is Meaning.REFUSED and "remove this" not in sentence else ""
    if key.name == "task_routes":
        _check_routes(look, value)
    if key.name == "task_annotations":
        _check_annotations(look, value)
    look.add(node, verdict, key.name, f"{name}: {sentence}", edit)


def _check_routes(look: Look, value: ast.expr | None) -> None:
    """Check each route that is written out: one that names an exchange says something else than its queue."""
    for node in ast.walk(value) if value is not None else ():
        if not isinstance(node, ast.Dict):
            continue
        words = {
            key.value: (key, each)
            for key, each in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
        }
        queue = ast.dump(words["queue"][1]) if "queue" in words else ""
        for word in ("exchange", "routing_key"):
            if word in words and ast.dump(words[word][1]) != queue:
                look.add(
                    words[word][0], Verdict.BY_HAND, f"task_routes {word}", ONE_QUEUE, '{"queue": "..."}'
                )


def _check_annotations(look: Look, value: ast.expr | None) -> None:
    """Check the options that are written out for a task, or for all of them."""
    for node in ast.walk(value) if value is not None else ():
        if isinstance(node, ast.Dict):
            for key, each in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in TASK_REFUSED and _value(each) is not None:
                    look.refuse(key, f"task_annotations {key.value}", TASK_REFUSED[key.value])


def _value(node: ast.expr | None) -> object:
    try:
        return ast.literal_eval(node) if node is not None else _UNSEEN
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _UNSEEN


def check_section(look: Look, name: str, value: ast.expr | None) -> None:
    """Check a dictionary that another configuration has under a name like `CELERY`, as Flask's does."""
    if name.isupper() and "CELERY" in name:
        _check_dict(look, value)


def check_dict_of_sections(look: Look, node: ast.Dict) -> None:
    """Check what a dictionary has under a name like `CELERY`."""
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            check_section(look, key.value, value)


def _check_dict(look: Look, node: ast.expr | None) -> None:
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                _check_key(look, key, key.value, value)
    elif isinstance(node, ast.Call) and dotted(node.func) == "dict":
        for word in node.keywords:
            if word.arg:
                _check_key(look, word, word.arg, word.value)


def _check_installed(look: Look, value: ast.expr | None) -> None:
    for node in ast.walk(value) if value is not None else ():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            application = node.value.partition(".")[0]
            if application in _APPS:
                look.add(node, Verdict.BY_HAND, application, _APPS[application], f"remove {node.value!r}")


def check_configuring_call(look: Look, call: ast.Call) -> None:
    """Check `app.conf.update(...)`, `config_from_object({...})` and Django's `override_settings(...)`.

    Also a section for Celery in any other call, such as Flask's `app.config.from_mapping(CELERY={...})`.
    """
    function = call.func
    for word in call.keywords:
        check_section(look, word.arg or "", word.value)
    last = dotted(function).rpartition(".")[2]
    if last in ("override_settings", "modify_settings", "settings") or _is_update(look, function):
        for word in call.keywords:
            if word.arg and (_is_update(look, function) or word.arg.startswith(_PREFIXES)):
                _check_key(look, word, word.arg, word.value)
    if _is_update(look, function) or last in ("config_from_object", "add_defaults"):
        for argument in (*call.args, *(word.value for word in call.keywords if word.arg is None)):
            _check_dict(look, argument)


def _is_update(look: Look, function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute) and function.attr == "update" and _is_conf(look, function.value)
    )


def sources_of_settings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield what each `config_from_object` names, as text or dotted name, with its namespace."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] == "config_from_object":
            words = {word.arg: word.value for word in node.keywords}
            namespace = words.get("namespace")
            source = node.args[0] if node.args else words.get("obj")
            if isinstance(source, ast.Constant) and isinstance(source.value, str):
                named = source.value
            else:
                named = dotted(source)
            is_text = isinstance(namespace, ast.Constant) and isinstance(namespace.value, str)
            yield named, namespace.value if is_text else ""  # type: ignore[union-attr]


def sets_acks_late(tree: ast.Module) -> bool:
    """Tell whether a module sets `task_acks_late` to True for the whole application, by any of its names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [_last_name(target) for target in targets]
            pairs = [(name, node.value) for name in names]
        elif isinstance(node, ast.keyword):
            pairs = [(node.arg or "", node.value)]
        elif isinstance(node, ast.Dict):
            pairs = [
                (key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else "", value)
                for key, value in zip(node.keys, node.values, strict=True)
            ]
        else:
            continue
        for name, value in pairs:
            if name in _ACKS_LATE and is_true(value):
                return True
    return False


def _last_name(target: ast.expr) -> str:
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return str(target.slice.value)
    return dotted(target).rpartition(".")[2]
