"""What an error says about an option that there is not."""

from collections.abc import Collection
from difflib import get_close_matches


def option_hint(option: str, known: Collection[str]) -> str:
    """Return the nearest known option as a question, or the list of all."""
    near = get_close_matches(option, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(sorted(known))}"
