"""What is read of the answers that stand in the result backend of stock workers."""

import pytest

from jobyard.broker.stock_celery import StockCelery
from jobyard.settings import Settings
from jobyard.settings.sections import CelerySettings


@pytest.mark.parametrize(
    "stored",
    [
        b"no JSON",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"status": ["SUCCESS"], "result": 1}',
        b'{"status": "SUCCESS"}',
        b'{"status": "FAILURE", "result": {"exc_type": 5, "exc_message": [], "exc_module": []}}',
        b'{"status": "FAILURE", "result": 5}',
    ],
    ids=lambda stored: repr(stored[:60]),
)
def test_an_answer_that_cannot_be_read_is_a_failure(stored: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    stock = StockCelery(Settings(celery=CelerySettings(result_backend="redis://127.0.0.1:1/0")))
    monkeypatch.setattr(stock._app.backend, "get", lambda key: stored)
    answer = stock.answer("an-id")
    assert answer is not None
    assert answer.failure is not None
