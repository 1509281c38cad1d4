"""How the keeper's groups grow while it is behind."""

import pytest

from jobyard.jobs.keeper.batch_size import SHORT_SECONDS, BatchSize


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("jobyard.jobs.keeper.batch_size.monotonic", lambda: now[0])
    return now


def sizes(clock: list[float], seconds: list[float]) -> list[int]:
    batch_size, found = BatchSize(10), []
    for took in seconds:
        with batch_size.measure() as size:
            clock[0] += took
        found.append(size)
        batch_size.adjust()
    return found


def test_the_first_group_is_a_batch_and_short_ones_grow_to_ten(clock: list[float]) -> None:
    assert sizes(clock, [0.0] * 6) == [10, 20, 40, 80, 100, 100]


def test_after_a_long_transaction_the_next_is_half_of_it_and_never_less_than_a_batch(
    clock: list[float],
) -> None:
    assert sizes(clock, [0.0, 0.0, 3 * SHORT_SECONDS, 3 * SHORT_SECONDS, 3 * SHORT_SECONDS]) == [
        10,
        20,
        40,
        20,
        10,
    ]


def test_a_group_that_takes_its_time_and_is_not_long_stays_as_it_is(clock: list[float]) -> None:
    assert sizes(clock, [0.0, 1.5 * SHORT_SECONDS, 1.5 * SHORT_SECONDS]) == [10, 20, 20]
