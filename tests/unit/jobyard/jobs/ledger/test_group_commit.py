"""What many threads ask for at the same time becomes one commit."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobyard.jobs.errors import Interruption, LedgerUnavailableError
from jobyard.jobs.ledger.group_commit import GroupCommit
from tests.support.waiting import wait_until


def test_one_item_on_a_quiet_process_is_a_group_of_its_own() -> None:
    groups: list[list[int]] = []

    def commit(items: Sequence[int]) -> list[int]:
        groups.append(list(items))
        return [item * 10 for item in items]

    ask = GroupCommit(commit)
    assert [ask(1), ask(2)] == [10, 20]
    assert groups == [[1], [2]]


def test_what_comes_while_a_commit_runs_goes_into_the_next_one_together() -> None:
    groups: list[list[int]] = []
    go_on, began = threading.Event(), threading.Event()

    def commit(items: Sequence[int]) -> list[int]:
        groups.append(list(items))
        began.set()
        go_on.wait(10)
        return [item * 10 for item in items]

    ask = GroupCommit(commit)
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(ask, 0)
        began.wait(10)
        rest = [pool.submit(ask, number) for number in range(1, 20)]
        wait_until(lambda: len(ask._waiting) == 19, 10, "everybody to wait")
        go_on.set()
        assert first.result() == 0
        assert [answer.result() for answer in rest] == [number * 10 for number in range(1, 20)]
    assert groups[0] == [0]
    assert sorted(groups[1]) == list(range(1, 20))


def test_a_group_is_no_larger_than_it_may_be() -> None:
    sizes: list[int] = []

    def commit(items: Sequence[int]) -> Sequence[int]:
        sizes.append(len(items))
        return items

    ask = GroupCommit(commit, max_items=3)
    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(ask, range(100))) == list(range(100))
    assert max(sizes) <= 3


def test_what_the_commit_raises_is_raised_to_everyone_in_the_group() -> None:
    def commit(items: Sequence[int]) -> Sequence[int]:
        raise ValueError(f"no: {len(items)}")

    ask = GroupCommit(commit)
    with pytest.raises(ValueError, match="no: 1"):
        ask(1)
    with pytest.raises(ValueError, match="no: 1"):
        ask(2)


def test_a_commit_that_forgets_an_answer_is_an_error_and_no_silence() -> None:
    ask: GroupCommit[int, int] = GroupCommit(lambda items: [])
    with pytest.raises(ValueError, match="zip"):
        ask(1)


def together(ask: GroupCommit[int, int], items: Sequence[int], hold: threading.Lock) -> list[object]:
    """Ask for items in one group; return each answer or error."""

    def one(item: int) -> object:
        try:
            return ask(item)
        except BaseException as error:
            return type(error)

    with ThreadPoolExecutor(len(items) + 1) as pool:
        with hold:
            first = pool.submit(one, 0)
            wait_until(lambda: ask._commit_lock.locked() and not ask._waiting, 10, "the first to commit")
            rest = [pool.submit(one, item) for item in items]
            wait_until(lambda: len(ask._waiting) == len(items), 10, "the others to wait")
        return [first.result(), *(answer.result() for answer in rest)]


def test_an_item_that_cannot_be_committed_costs_the_others_nothing() -> None:
    hold = threading.Lock()

    def commit(items: Sequence[int]) -> Sequence[int]:
        with hold:
            if 13 in items:
                raise ValueError("not storable")
            return [item * 10 for item in items]

    assert together(GroupCommit(commit), [1, 13, 2], hold) == [0, 10, ValueError, 20]


def test_a_database_out_of_reach_is_so_for_the_whole_group() -> None:
    hold, calls = threading.Lock(), list[int]()

    def commit(items: Sequence[int]) -> Sequence[int]:
        with hold:
            calls.append(len(items))
            raise LedgerUnavailableError("gone")

    assert together(GroupCommit(commit), [1, 2], hold) == [LedgerUnavailableError] * 3
    assert calls == [1, 2]


def test_an_interruption_is_the_committing_threads_own() -> None:
    hold, interrupted = threading.Lock(), list[int]()

    def commit(items: Sequence[int]) -> Sequence[int]:
        with hold:
            if len(items) == 3:
                interrupted.append(1)
                raise Interruption
            return [item * 10 for item in items]

    answers = together(GroupCommit(commit), [1, 2, 3], hold)
    assert interrupted == [1]
    assert answers.count(Interruption) == 1
    assert [answer for answer in answers if answer is not Interruption] == sorted(
        {0, 10, 20, 30} & set(answers)
    )
    assert len(answers) == 4
