"""Limits how much of a page goes into a result, because the whole page is in a file and not in the ledger."""

from dataclasses import dataclass

import pydantic_core

from jobyard.tasks.payload import NUL

RESULT_BYTES = 400_000


@dataclass
class Budget:
    """The bytes of JSON that a result may still use; `is_spent` once a text did not fit."""

    left: int = RESULT_BYTES
    is_spent: bool = False

    def try_spend(self, text: str) -> bool:
        """Spend the bytes that `text` needs and return True, or spend nothing if it does not fit."""
        size = _size(text)
        if size > self.left:
            self.is_spent = True
            return False
        self.left -= size
        return True

    def take(self, text: str, max_characters: int = RESULT_BYTES) -> str:
        """Return the beginning of `text` that fits, without characters that cannot be stored."""
        text = make_storable(text)
        kept = text[:max_characters]
        while kept and (size := _size(kept)) > self.left:
            kept = kept[: max(0, int(len(kept) * self.left / size))]
        self.left -= _size(kept)
        self.is_spent = self.is_spent or len(kept) < len(text)
        return kept


def make_storable(text: str) -> str:
    """Return a text in which NULs and lone surrogates, which no database stores, are replaced."""
    return text.replace(NUL, "�").encode(errors="replace").decode()


def _size(text: str) -> int:
    return len(pydantic_core.to_json(text)) + 1  # the JSON text and a comma
