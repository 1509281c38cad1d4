"""Orders to a worker that its pool cannot carry out are answered with the way out."""

from types import SimpleNamespace
from typing import Any

import pytest

from jobyard.worker.control_commands import FIXED_THREADS, pool_grow, pool_shrink


class Processes:
    size = 2

    def grow(self, n: int) -> None:
        self.size += n

    def shrink(self, n: int) -> None:
        self.size -= n


def state(pool: object) -> Any:
    controller = SimpleNamespace(autoscaler=None)
    return SimpleNamespace(
        consumer=SimpleNamespace(pool=pool, controller=controller, _update_prefetch_count=lambda n: n)
    )


@pytest.mark.parametrize("order", [pool_grow, pool_shrink])
def test_threads_neither_grow_nor_shrink_and_say_so(order: Any) -> None:
    assert order(state(object()), 1) == {"error": FIXED_THREADS}


def test_processes_grow_and_shrink() -> None:
    pool = Processes()
    assert pool_grow(state(pool), 3) == {"ok": "pool will grow"}
    assert pool_shrink(state(pool), 1) == {"ok": "pool will shrink"}
    assert pool.size == 4
