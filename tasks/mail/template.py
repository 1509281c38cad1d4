"""Renders the bodies of a mail from the operator's template and the caller's variables."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound, select_autoescape
from jinja2.sandbox import SandboxedEnvironment

from config.settings import SmtpSettings
from jobyard import Discard, get_section


def render(name: str, variables: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return a template's text and HTML, of which one may be None; raises `Discard` for an unusable one."""
    text, html = (_render_file(f"{name}.{ending}.j2", variables) for ending in ("txt", "html"))
    if text is None and html is None:
        folder = get_section(SmtpSettings).templates
        names = sorted({path.name.split(".")[0] for path in folder.glob("*.j2")})
        raise Discard(f"there is no mail template {name!r} in {folder}; there are: {', '.join(names)}")
    return text, html


def _render_file(file: str, variables: Mapping[str, Any]) -> str | None:
    try:
        template = _environment(get_section(SmtpSettings).templates).get_template(file)
    except TemplateNotFound:
        return None
    except TemplateError as error:
        raise Discard(f"mail template {file}: {error}") from error
    try:
        return template.render(variables)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise Discard(f"mail template {file}: {error}") from error


@cache
def _environment(folder: Path) -> SandboxedEnvironment:
    # Sandboxed, because the variables come from requests; strict, because a mail without the recipient's
    # name is worse than no mail.
    return SandboxedEnvironment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default_for_string=False),
    )
