"""The payload and the result of `email.send`."""

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from config.mail_address import check_address, check_header_text, parse_address
from jobyard import FileId, Payload

MEDIA_TYPE = re.compile(r"^[A-Za-z0-9.+_-]+/[A-Za-z0-9.+_-]+$")
MAX_RECIPIENTS = 100
MAX_BODY_CHARACTERS = 512 * 1024


def _check_ascii_local_part(address: str) -> str:
    # smtplib requires SMTPUTF8 for such an address in the envelope, but does not check Reply-To.
    if not parse_address(address).username.isascii():
        raise ValueError("must be ASCII before the @")
    return address


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


HeaderText = Annotated[str, Field(max_length=998), AfterValidator(check_header_text)]  # RFC 5322, 2.1.1
Address = Annotated[str, Field(max_length=400), AfterValidator(check_address)]
AddressList = Annotated[tuple[Address, ...], Field(max_length=MAX_RECIPIENTS)]
Addresses = Annotated[AddressList, BeforeValidator(_as_list, json_schema_input_type=Address | AddressList)]
Body = Annotated[str, Field(min_length=1, max_length=MAX_BODY_CHARACTERS)]


class Attachment(Payload):
    """An uploaded file to attach; its name and type are the file's own unless given."""

    file: FileId
    name: Annotated[HeaderText, Field(min_length=1, max_length=200)] | None = None
    media_type: Annotated[str, Field(pattern=MEDIA_TYPE.pattern, max_length=200)] | None = None


class Email(Payload):
    """A mail: give `text`, `html` or both, or a `template` with its `variables`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"to": "ada@example.org", "subject": "Hello", "text": "The first mail from Jobyard."}
            ]
        }
    )

    to: Addresses = ()
    cc: Addresses = ()
    bcc: Addresses = ()
    sender: Address | None = Field(None, description="Default: JOBYARD_SMTP__SENDER.")
    reply_to: Annotated[Address, AfterValidator(_check_ascii_local_part)] | None = None
    subject: HeaderText
    text: Body | None = None
    html: Body | None = None
    template: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")] | None = Field(
        None, description="A template's name without its ending: `welcome` for welcome.txt.j2 and .html.j2."
    )
    variables: dict[str, Any] = Field({}, description="The variables that the template may use.")
    attachments: tuple[Attachment, ...] = Field((), max_length=20)

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        recipients = len(self.to) + len(self.cc) + len(self.bcc)
        if recipients == 0:
            raise ValueError("to, cc and bcc are all empty: name at least one recipient")
        if recipients > MAX_RECIPIENTS:
            raise ValueError(f"{recipients} recipients, and at most {MAX_RECIPIENTS} in one mail")
        if self.template is None and self.text is None and self.html is None:
            raise ValueError("give text, html or a template")
        if self.template is not None and (self.text is not None or self.html is not None):
            raise ValueError("give either a template, or text and html")
        return self


class Receipt(Payload):
    """The mail server's answer: the accepted recipients, and the refused ones with its replies."""

    message_id: str
    accepted: tuple[str, ...]
    refused: dict[str, str]
