"""How a length of time is written."""

from datetime import timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from jobyard.settings.durations import Duration, DurationOrZero

LENGTH: TypeAdapter[timedelta] = TypeAdapter(Duration)
OR_ZERO: TypeAdapter[timedelta] = TypeAdapter(DurationOrZero)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        *(("30", 30), ("0.5", 0.5), ("1e3", 1000), (" 2 ", 2), (5, 5), (0.25, 0.25)),
        *(("PT5M", 300), ("P1D", 86_400), ("PT0.5S", 0.5), ("00:01:00", 60), (timedelta(hours=1), 3600)),
    ],
)
def test_a_length_is_seconds_or_iso_8601(written: object, seconds: float) -> None:
    assert LENGTH.validate_python(written) == OR_ZERO.validate_python(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "written", ["", "soon", "5 minutes", "PT", "nan", "inf", "-inf", "1e300", None, [], "-1", "-PT1M"]
)
def test_what_is_no_length_is_refused(written: object) -> None:
    for adapter in (LENGTH, OR_ZERO):
        with pytest.raises(ValidationError):
            adapter.validate_python(written)


def test_zero_is_a_length_only_where_that_is_said() -> None:
    assert OR_ZERO.validate_python("0") == timedelta(0)
    with pytest.raises(ValidationError, match="longer than zero"):
        LENGTH.validate_python("0")
