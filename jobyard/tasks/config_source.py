"""What `config_from_object` may be given, read into a dictionary of settings."""

from collections.abc import Mapping
from typing import Any

from jobyard.settings import SettingsError
from jobyard.settings.celery_keys import celery_key


def read_source(source: Any, loader: Any, namespace: str | None, *, silent: bool) -> dict[str, Any]:
    """Return the settings in a module, in an object with attributes, or in a mapping.

    Raises `SettingsError` for the name of a module that is not there, unless it is `silent`.
    """
    if isinstance(source, str):
        try:
            source = loader._smart_import(source, imp=loader.import_from_cwd)
        except (ImportError, AttributeError) as error:
            if silent:
                return {}
            raise SettingsError(f"config_from_object({source!r}): {error}") from error
    if isinstance(source, Mapping):
        return {name: value for name, value in source.items() if _counts(str(name), namespace, True)}
    if source is None or isinstance(source, int | float | list | tuple | set):
        raise SettingsError(
            f"config_from_object({source!r:.100}): name a module, or give a module, an object or a dictionary"
        )
    return {name: getattr(source, name) for name in dir(source) if _counts(name, namespace, False)}


def _counts(name: str, namespace: str | None, is_mapping: bool) -> bool:
    # A module also has its imports and its own constants, and Django's settings are not Celery's.
    if namespace:
        return name.startswith(f"{namespace.rstrip('_')}_")
    return is_mapping or celery_key(name) is not None
