"""What the mail server said to each recipient of a mail, over all attempts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Who has the mail, who was refused for good (5xx) and who for now, with the server's replies."""

    accepted: Sequence[str] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    deferred: Mapping[str, str] = field(default_factory=dict)

    def waiting(self, recipients: Sequence[str]) -> list[str]:
        """Return those of the recipients, each once, whom the server has neither accepted nor refused."""
        ended = {*self.accepted, *self.refused}
        return [address for address in dict.fromkeys(recipients) if address not in ended]

    def followed_by(self, later: "Delivery") -> "Delivery":
        """Return this delivery together with a later one to those who were waiting."""
        return Delivery(
            accepted=[*self.accepted, *later.accepted],
            refused={**self.refused, **later.refused},
            deferred=later.deferred,
        )

    def __str__(self) -> str:
        parts = {
            "refused for now": _in_words(self.deferred),
            "refused for good": _in_words(self.refused),
            "sent to": ", ".join(self.accepted),
        }
        return "; ".join(f"{what} {who}" for what, who in parts.items() if who)


def _in_words(replies: Mapping[str, str]) -> str:
    return ", ".join(f"{address}: {reply}" for address, reply in replies.items())
