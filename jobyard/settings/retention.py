"""How long jobs are kept after their end, by status and task: `P30D, dead=P90D, email.send/succeeded=P7D`.

A task's name stands in double quotes, as JSON, where it has no dot, or a comma, a slash or an equals sign.
"""

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, InstanceOf, TypeAdapter, ValidationError
from pydantic_settings import NoDecode

from jobyard.settings.durations import Duration

# The same as `jobyard.jobs.job.FINAL`, which this module may not import.
ENDS: Final = ("succeeded", "dead", "cancelled", "expired")
_AGE: Final = TypeAdapter[timedelta](Duration)
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_RULES: Final = re.compile(rf"(?:{_QUOTED}|[^,])+")
_RULE_OF_QUOTED: Final = re.compile(rf"({_QUOTED})\s*(?:/\s*(\w+)\s*)?=([^=]*)")
_PLAIN: Final = re.compile(r"[^\s\",/=]+\.[^\s\",/=]+")


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Jobs of `task` and with `status`, where these are set, are deleted `keep` after their end."""

    keep: timedelta
    task: str | None = None
    status: str | None = None

    def __str__(self) -> str:
        subject = "/".join(part for part in (_written(self.task), self.status) if part)
        days = f"P{self.keep.days}D" if self.keep == timedelta(days=self.keep.days) else None
        age = days or f"{self.keep.total_seconds():g}"
        return f"{subject}={age}" if subject else age

    @classmethod
    def parse(cls, text: str) -> "RetentionRule":
        """Read `AGE`, `STATUS=AGE`, `TASK=AGE` or `TASK/STATUS=AGE`; raises `ValueError`."""
        if quoted := _RULE_OF_QUOTED.fullmatch(text):
            task, status, age = _name_in(quoted[1]), quoted[2] or "", quoted[3]
        else:
            subject, _, age = text.rpartition("=")
            task, _, status = subject.strip().rpartition("/")
        try:
            keep = _AGE.validate_python(age.strip())
        except ValidationError:
            raise ValueError(f"{text!r} has no age: write P30D, PT12H or seconds") from None
        if status and status not in ENDS:
            if task or "." not in status:
                raise ValueError(
                    f"{text!r} names {status!r}, which is not a final status: {', '.join(ENDS)}; if it "
                    f"belongs to the name of a task, write the name in double quotes: {_quoted_rule(text)}"
                )
            task, status = status, ""
        return cls(keep, task or None, status or None)


def _written(task: str | None) -> str | None:
    return task if task is None or _PLAIN.fullmatch(task) else json.dumps(task, ensure_ascii=False)


def _name_in(quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError:
        raise ValueError(f"{quoted} is no text in double quotes as JSON has it") from None


def _quoted_rule(text: str) -> str:
    subject, _, age = text.rpartition("=")
    return f"{json.dumps(subject.strip(), ensure_ascii=False)}={age}"


def _as_rules(value: object) -> object:
    if not isinstance(value, str):
        return value
    rules = tuple(RetentionRule.parse(part.strip()) for part in _RULES.findall(value) if part.strip())
    subjects = [(rule.task, rule.status) for rule in rules]
    if len(set(subjects)) < len(subjects):
        raise ValueError("names the age of the same jobs twice")
    if (None, None) not in subjects:
        raise ValueError("names no age for all other jobs: begin with one, like P30D")
    return rules


Retention = Annotated[tuple[InstanceOf[RetentionRule], ...], NoDecode, BeforeValidator(_as_rules)]
DEFAULT: Final = (
    RetentionRule(timedelta(days=30)),
    RetentionRule(timedelta(days=1), task="upkeep.heartbeat"),
)
