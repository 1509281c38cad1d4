"""How much of a page fits into a result: a ledger is no place for megabytes, and the whole is in the file."""

from dataclasses import dataclass

import pydantic_core

from jobyard.tasks.payload import NUL

RESULT_BYTES = 400_000


@dataclass
class Budget:
    """Bytes of JSON that may still be spent; remembers whether any were refused."""

    left: int = RESULT_BYTES
    is_spent: bool = False

    def has_room(self, text: str) -> bool:
        """Spend what `text` needs, or nothing where that is too much."""
        size = _size(text)
        if size > self.left:
            self.is_spent = True
            return False
        self.left -= size
        return True

    def take(self, text: str, most: int = RESULT_BYTES) -> str:
        """Return as much of `text` as there is room for, without characters that cannot be stored."""
        text = storable(text)
        kept = text[:most]
        while kept and (size := _size(kept)) > self.left:
            kept = kept[: max(0, int(len(kept) * self.left / size))]
        self.left -= _size(kept)
        self.is_spent = self.is_spent or len(kept) < len(text)
        return kept


def storable(text: str) -> str:
    """Return a text with a replacement for what no database takes: NUL, and halves of characters."""
    return text.replace(NUL, "�").encode(errors="replace").decode()


def _size(text: str) -> int:
    return len(pydantic_core.to_json(text)) + 1  # as JSON writes it, and a comma
