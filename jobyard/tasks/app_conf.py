"""`app.conf`: Celery's settings, each of them honoured, named as harmless, or refused with the way out.

`jobyard/settings/celery_keys.py` says which is which. The engine's own options stay as they are.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from celery.app.utils import Settings

from jobyard.broker.celery_app import app
from jobyard.settings import SettingsError
from jobyard.settings.celery_keys import CELERY_KEYS, Meaning, celery_key
from jobyard.tasks.app_effects import EFFECTS, check_value

# The similarity, from 0 to 1, from which an unknown key counts as a misspelt one.
NEARLY_EQUAL: Final = 0.85
# What Celery calls a setting when it is read through the options of a class, and is none.
_NO_SETTINGS: Final = ("override_backends",)
# What the `celery worker` command sets by itself, with the value that it sets.
_OF_THE_COMMAND: Final = (("worker_disable_prefetch", False),)


class AppConf(Settings):
    """Celery's configuration, which takes what this engine can honour and refuses the rest at once.

    Setting keys raises one `SettingsError` that names every refused one.
    """

    def __init__(self, engine: Settings) -> None:
        self.__dict__.update(engine.__dict__, _harmless={}, _misspelt={})

    @property
    def harmless(self) -> Mapping[str, str]:
        """What was set and means nothing here, with the reasons."""
        return dict(self.__dict__["_harmless"])

    @property
    def misspelt(self) -> Mapping[str, str]:
        """Keys that nothing reads, with the key of Celery's that each resembles."""
        return dict(self.__dict__["_misspelt"])

    def __setitem__(self, key: str, value: Any) -> None:
        self.take({key: value})

    def update(self, *arguments: Any, **more: Any) -> None:
        """Set several keys, all of them or none."""
        self.take(dict(*arguments, **more))

    def add_defaults(self, defaults: Mapping[str, Any]) -> None:
        """Set keys that are not set yet."""
        self.take({key: value for key, value in defaults.items() if not self.value_set_for(key)})

    def clear(self) -> None:
        """Refused, because the engine's own options stand here as well."""
        raise SettingsError("app.conf cannot be cleared: set a key to None to take it back")

    def take(self, given: Mapping[str, Any], namespace: str | None = None) -> None:
        """Set keys; with a namespace (Django's `CELERY`) those that stand behind it."""
        known, unknown = _by_name(given, namespace or self.prefix or "")
        if refused := _refusals(known):
            raise SettingsError("\n  ".join(["These settings of Celery's are wrong here:", *refused]))
        for name, value in known.items():
            key = CELERY_KEYS[name]
            is_said = value is not None and (name, value) not in _OF_THE_COMMAND
            if is_said and key.meaning_of(value) is not Meaning.HONOURED:
                self.__dict__["_harmless"][name] = key.sentence
        honoured = {name: value for name, value in known.items() if _is_honoured(name)}
        for name, value in honoured.items():
            if name in EFFECTS:
                EFFECTS[name](value)
            else:
                super().__setitem__(name, value)
        if "timezone" in honoured:
            app.__dict__.pop("timezone", None)  # which Celery has read once, for all time
        for name, value in unknown.items():
            if near := get_close_matches(name.lower(), CELERY_KEYS, 1, NEARLY_EQUAL):
                self.__dict__["_misspelt"][name] = near[0]
            super().__setitem__(name, value)


def _is_honoured(name: str) -> bool:
    return CELERY_KEYS[name].meaning is Meaning.HONOURED


def _by_name(given: Mapping[str, Any], namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    namespace = namespace.rstrip("_")
    known: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for name, value in given.items():
        key = celery_key(name, namespace)
        if key is not None:
            known[key.name] = value
        elif name not in _NO_SETTINGS:
            unknown[name.removeprefix(f"{namespace}_").lower() if namespace else name] = value
    return known, unknown


def _refusals(known: Mapping[str, Any]) -> list[str]:
    refused = []
    for name, value in sorted(known.items()):
        key = CELERY_KEYS[name]
        if value is None:
            continue  # as if it were not set
        if key.meaning_of(value) is Meaning.REFUSED:
            refused.append(f"{name}: {key.sentence}")
        elif fault := check_value(name, value):
            refused.append(f"{name}: {fault}")
    return refused
