"""What a mail looks like when it leaves: headers, bodies, templates and attachments."""

from collections.abc import Callable
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import compat32, default
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from jobyard.jobs.errors import Discard
from jobyard.jobs.files.store import get_files
from jobyard.jobs.job import new_id
from jobyard.settings import SettingsError
from tasks.mail.header_folding import MAIL_POLICY
from tasks.mail.message import MAX_ATTACHED_BYTES, build_message
from tasks.mail.payload import Email
from tests.support.changed_settings import changed_settings

JOB_ID = new_id()
HEADERS = [
    *("Message-ID", "Date", "From", "Subject", "X-Jobyard-Job", "To", "Cc", "Reply-To"),
    *("Content-Type", "Content-Transfer-Encoding", "MIME-Version"),
]
# The pieces that attacks on headers are made of, in any order, between any other text.
hostile = st.lists(
    st.sampled_from(
        [
            *(
                "=?utf-8?q?",
                "=?utf-8?b?DQpCY2M6IGV2ZQ==?=",
                "?=",
                "=0d=0aBcc:=20eve",
                "=0A",
                "\r\n",
                "\u2028",
            ),
            *(
                "Bcc: eve@example.com",
                '"',
                "\\",
                "<eve@example.com>",
                ",",
                "@",
                ";",
                "ä",
                "\x85",
                " ",
                "x" * 80,
            ),
        ]
    )
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5),
    max_size=8,
).map("".join)


def email(**fields: Any) -> Email:
    return Email.model_validate({"to": "ada@example.org", "subject": "Hi", "text": "Hello"} | fields)


def wire(order: Email) -> bytes:
    return build_message(order, JOB_ID)[0].as_bytes()


def sent(order: Email) -> EmailMessage:
    """The message as its reader gets it."""
    return message_from_bytes(wire(order), policy=default)


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    content: str = part.get_content()
    return content.replace("\r\n", "\n").strip()


@pytest.fixture
def template(tmp_path: Path) -> Callable[[str, Email], EmailMessage]:
    """Send a mail with a template of the given text."""

    def with_template(text: str, order: Email) -> EmailMessage:
        (tmp_path / "own.txt.j2").write_text(text)
        with changed_settings(SMTP__TEMPLATES=str(tmp_path)):
            return sent(order)

    return with_template


def test_blind_copies_are_in_the_envelope_and_in_no_header() -> None:
    order = email(to="ada@example.org", cc="Bob <bob@example.org>", bcc=["Eve <eve@example.org>"])
    message, recipients = build_message(order, JOB_ID)
    assert recipients == ["ada@example.org", "bob@example.org", "eve@example.org"]
    assert b"eve" not in message.as_bytes()
    assert message["Cc"] == "Bob <bob@example.org>"


def test_the_message_id_is_made_of_the_job_and_the_same_at_every_attempt() -> None:
    first, second = (build_message(email(sender="ada@example.org"), JOB_ID)[0] for _ in range(2))
    assert first["Message-ID"] == second["Message-ID"] == f"<{JOB_ID}@example.org>"
    assert first["X-Jobyard-Job"] == JOB_ID
    assert build_message(email(), new_id())[0]["Message-ID"] != first["Message-ID"]


@pytest.mark.parametrize("name", ["The Yard", "Müller GmbH", "J. Löwe & Söhne"])
def test_a_mail_without_a_sender_comes_from_the_settings(name: str) -> None:
    with changed_settings(SMTP__SENDER=f"{name} <yard@example.org>"):
        message = sent(email())
    (sender,) = message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (name, "yard@example.org")
    assert message["Message-ID"] == f"<{JOB_ID}@example.org>"


@pytest.mark.parametrize(
    "sender", ["info", "Müller", "A\nBcc: eve <a@b.de>", "=?utf-8?q?=0aBcc:=20e?= <a@b.de>"]
)
def test_a_sender_in_the_settings_is_checked_like_that_of_a_request(sender: str) -> None:
    with pytest.raises(ValidationError) as in_a_request:
        email(sender=sender)
    with pytest.raises(SettingsError) as in_the_settings, changed_settings(SMTP__SENDER=sender):
        pass
    assert in_a_request.value.errors()[0]["msg"].removeprefix("Value error, ") in str(in_the_settings.value)
    assert "JOBYARD_SMTP__SENDER" in str(in_the_settings.value)


# Of words, signs and blanks of which Python's folding loses some.
_WORDS = ["€", "\N{EN DASH}", "Führung", "Anmeldung:", "geprüft", "Dienstag", "Über", "ß", "Größe", "a"]
_SIGNS = ["„Termin“", "…", "2026", "&", "(", ")", "Re:", "=?", "日本語", "🦊", "", " ", "\u00a0"]
german = st.lists(st.sampled_from(_WORDS + _SIGNS), max_size=30).map(" ".join)


@example(subject="€ Dienstag geprüft: Anmeldung Führung \N{EN DASH}")
@example(subject=" one blank before and one behind ")
@example(subject="two  blanks" * 20)
@example(subject="x" * 998)
@given(subject=german | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"])))
def test_every_subject_arrives_as_it_was_given_in_short_lines_of_ascii(subject: str) -> None:
    written = wire(email(subject=subject))
    assert message_from_bytes(written, policy=default)["Subject"] == subject
    for_older_readers = "".join(message_from_bytes(written, policy=compat32)["Subject"].splitlines())
    assert str(make_header(decode_header(for_older_readers))).strip() == subject.strip()
    assert written.isascii()
    assert all(len(line) <= 78 for line in written.splitlines())


@given(name=german.map(str.strip).filter(bool))
def test_every_file_name_arrives_as_it_was_given(name: str) -> None:
    message = EmailMessage(policy=MAIL_POLICY)
    message.add_attachment(b"x", maintype="a", subtype="b", filename=name)
    (part,) = message_from_bytes(message.as_bytes(), policy=default).iter_attachments()
    assert part.get_filename() == name


_LINES = ["From here", ">From", ".", "..", "", " ", "=20", "ü", "x" * 1000, "ö" * 200]


@given(lines=st.lists(st.sampled_from(_LINES) | german, min_size=1, max_size=20))
def test_every_text_arrives_line_by_line_and_is_7_bit_on_its_way(lines: list[str]) -> None:
    text = "\n".join(lines)
    written = wire(email(text=f"{text}\n", html=f"<p>{text}</p>"))
    body = message_from_bytes(written, policy=default).get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == f"{text}\n"
    assert written.isascii()
    assert all(len(line) <= 78 for line in written.splitlines())


@pytest.mark.parametrize(
    "subject", ["Grüße aus Köln", "日本語の件名", "a" * 500, "🦊" * 200, "tab? no, 100 %"]
)
def test_a_subject_arrives_as_it_was_written(subject: str) -> None:
    order = email(subject=subject)
    assert sent(order)["Subject"] == subject
    assert all(len(line) < 998 for line in wire(order).splitlines())


def test_names_of_any_script_arrive_with_their_addresses() -> None:
    message = sent(
        email(to=['"Löwe, Ada" <ada@example.org>', "bob@bücher.example"], reply_to="Ü <u@example.org>")
    )
    assert [(one.display_name, one.addr_spec) for one in message["To"].addresses] == [
        ("Löwe, Ada", "ada@example.org"),
        ("", "bob@xn--bcher-kva.example"),
    ]
    assert message["Reply-To"].addresses[0].display_name == "Ü"


def test_text_and_html_are_alternatives_and_the_html_is_last() -> None:
    message = sent(email(text="Grüße", html="<p>Grüße</p>"))
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert (text_of(message), text_of(message, "html")) == ("Grüße", "<p>Grüße</p>")


def test_html_alone_is_the_whole_message() -> None:
    assert sent(email(text=None, html="<p>Hi</p>")).get_content_type() == "text/html"


def test_a_long_line_is_kept_and_yet_fits_the_wire() -> None:
    order = email(text="x" * 5000)
    assert text_of(sent(order)) == "x" * 5000
    assert all(len(line) < 998 for line in wire(order).splitlines())


def test_a_template_gives_text_and_html_and_only_the_html_is_escaped() -> None:
    variables = {"name": "<Ada> {{ 7 * 7 }}", "product": "the yard", "link": "https://example.org/?a=1&b=2"}
    message = sent(email(text=None, template="welcome", variables=variables))
    assert "Hello <Ada> {{ 7 * 7 }}," in text_of(message)
    assert "Hello &lt;Ada&gt; {{ 7 * 7 }}," in text_of(message, "html")
    assert "?a=1&amp;b=2" in text_of(message, "html")


def test_an_unknown_template_is_final_and_the_known_ones_are_named() -> None:
    with pytest.raises(Discard, match=r"no mail template 'farewell'.*there are: welcome"):
        sent(email(text=None, template="farewell"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ name.__class__.__base__.__subclasses__() }}", "unsafe"),
        ("{{ name.format.__globals__ }}", "unsafe"),
        ("{{ '{0.__class__.__mro__}'.format(name) }}", "unsafe"),
        ("{{ surname }}", "'surname' is undefined"),
        ("{{ name.first }}", "has no attribute 'first'"),
        ("{% for x in range(10**9) %}x{% endfor %}", "Range too big"),
        ("{% include 'none.txt.j2' %}", "none.txt.j2"),
        ("{{ name", "unexpected end of template"),
        ("{{ name / 2 }}", "unsupported operand"),
        ("{{ 1 / 0 }}", "division by zero"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_final_and_says_why(
    template: Callable[[str, Email], EmailMessage], text: str, said: str
) -> None:
    with pytest.raises(Discard, match=r"mail template own\.txt\.j2: ") as caught:
        template(text, email(text=None, template="own", variables={"name": "Ada"}))
    assert said in str(caught.value)


def test_a_template_without_an_html_file_is_a_text_mail(
    template: Callable[[str, Email], EmailMessage],
) -> None:
    message = template("Hi {{ name }}", email(text=None, template="own", variables={"name": "Ada & Bob"}))
    assert message.get_content_type() == "text/plain"
    assert text_of(message) == "Hi Ada & Bob"


def attached(order: Email) -> list[tuple[str | None, str, bytes]]:
    return [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))  # type: ignore[misc]
        for part in sent(order).iter_attachments()
    ]


@pytest.mark.usefixtures("migrated")
def test_an_attachment_goes_by_its_own_name_and_type_unless_others_are_given() -> None:
    file = get_files().save(b"%PDF \x00\xff", name="Übersicht.pdf", media_type="application/pdf").id
    given_name = {"file": file, "name": "b.bin", "media_type": "application/x-own"}
    assert attached(email(attachments=[{"file": file}, given_name])) == [
        ("Übersicht.pdf", "application/pdf", b"%PDF \x00\xff"),
        ("b.bin", "application/x-own", b"%PDF \x00\xff"),
    ]


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize(
    "media_type",
    ["multipart/mixed", "message/rfc822", "nonsense", "a/", "té/xt", "a/b\r\nBcc: eve", "=?utf-8?q?a?=/b"],
)
def test_an_attachment_of_a_type_that_cannot_be_sent_arrives_as_bytes(media_type: str) -> None:
    file = get_files().save(b"From: x\r\n\r\ny", name="a", media_type=media_type).id
    assert attached(email(attachments=[{"file": file}])) == [
        ("a", "application/octet-stream", b"From: x\r\n\r\ny")
    ]


@pytest.mark.usefixtures("migrated")
def test_a_vanished_attachment_is_final_and_named() -> None:
    file = new_id()
    with pytest.raises(Discard, match=f"attachments: no file {file} is stored"):
        sent(email(attachments=[{"file": file}]))


@pytest.mark.usefixtures("migrated")
def test_attachments_that_are_too_large_together_are_final() -> None:
    file = get_files().save(b"x" * (MAX_ATTACHED_BYTES // 2 + 1), name="big").id
    with pytest.raises(Discard, match=f"larger than {MAX_ATTACHED_BYTES} bytes together"):
        sent(email(attachments=[{"file": file}, {"file": file}]))


def in_every_field(text: str) -> dict[str, Any]:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return {
        "subject": text,
        "sender": f'"{quoted}" <sender@example.org>',
        "to": f'"{quoted}" <to@example.org>',
        "cc": [f"{text} <cc@example.org>"],
        "reply_to": f'"{quoted}" <reply@example.org>',
    }


@example(text="=?utf-8?q?=0d=0aBcc:=20eve", field="reply_to")  # needs no end to be decoded
@example(text="Bcc: eve@example.com" + "x" * 80, field="sender")  # too long for one line
@given(text=hostile, field=st.sampled_from(sorted(in_every_field(""))))
def test_no_field_can_make_a_header_or_another_recipient(text: str, field: str) -> None:
    usual = {"cc": "cc@example.org", "reply_to": "reply@example.org", "sender": "sender@example.org"}
    try:
        order = email(**usual | {"to": "to@example.org"} | {field: in_every_field(text)[field]})
    except ValidationError:
        return
    message, recipients = build_message(order, JOB_ID)
    raw = message_from_bytes(message.as_bytes(), policy=compat32)
    assert raw.keys() == HEADERS
    assert str(raw.get_payload()).strip() == "Hello"
    assert recipients == ["to@example.org", "cc@example.org"]
    read = message_from_bytes(message.as_bytes(), policy=default)
    assert [one.addr_spec for one in read["From"].addresses] == ["sender@example.org"]
    assert [one.addr_spec for one in read["To"].addresses] == ["to@example.org"]


@pytest.mark.parametrize("name", ["x, <eve@example.com>" * 15, "ä, <eve@example.com>" * 15, "Löwe " * 60])
def test_a_long_name_is_a_name_and_nothing_else(name: str) -> None:
    order = email(to=[f'"{name}" <ada@example.org>'] + ["bob@example.org"] * 20)
    addresses = sent(order)["To"].addresses
    assert [one.addr_spec for one in addresses] == ["ada@example.org"] + ["bob@example.org"] * 20
    # Python's newer reader puts spaces between the encoded words of a name, so the older one is asked.
    raw = message_from_bytes(wire(order), policy=compat32)["To"]
    assert name.strip() in str(make_header(decode_header(raw)))
    assert all(len(line) < 998 for line in wire(order).splitlines())


@pytest.mark.usefixtures("migrated")
@given(name=hostile.filter(bool), media_type=hostile)
def test_no_stored_file_can_make_a_header(name: str, media_type: str) -> None:
    file = get_files().save(b"x", name=name, media_type=media_type).id
    message = sent(email(attachments=[{"file": file}]))
    assert message.keys() == [
        "Message-ID",
        "Date",
        "From",
        "Subject",
        "X-Jobyard-Job",
        "To",
        "MIME-Version",
        "Content-Type",
    ]
    (part,) = message.iter_attachments()
    assert sorted(part.keys()) == [
        "Content-Disposition",
        "Content-Transfer-Encoding",
        "Content-Type",
        "MIME-Version",
    ]
    assert part.get_payload(decode=True) == b"x"
