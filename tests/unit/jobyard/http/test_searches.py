"""Searches take turns, so that those who hand jobs in keep threads and time."""

import asyncio
import threading
from time import sleep

from jobyard.http.searches import SEARCHES_AT_ONCE, run_search


def test_few_searches_run_at_once_and_all_are_answered() -> None:
    lock, running, most = threading.Lock(), 0, 0

    def search(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        sleep(0.01)
        with lock:
            running -= 1
        return number

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(run_search(search, number) for number in range(20)))

    assert asyncio.run(all_of_them()) == list(range(20))
    assert most == SEARCHES_AT_ONCE
    assert asyncio.run(all_of_them()) == list(range(20)), "on another loop as well"
