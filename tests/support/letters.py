"""A user's own task, whose payload happens to be called as one of ours is; `letters` is in no other yard."""

from pydantic import ConfigDict

from jobyard.tasks.declare import task
from jobyard.tasks.payload import Payload


class Attachment(Payload):
    """What goes into the envelope besides."""

    weight: int


class Email(Payload):
    """A letter on paper."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"path": "High Street 1", "header": "Dear Ada"}]}
    )

    path: str
    header: str
    attachments: tuple[Attachment, ...] = ()


@task("letter.send")
def send_letter(letter: Email) -> str:
    """Send a letter by post."""
    return f"{letter.header}, to {letter.path}"
