"""What may be asked of `email.send`: recipients, one-line fields, and no way into the headers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from jobyard.jobs.job import new_id
from tasks.mail.payload import MAX_RECIPIENTS, Attachment, Email

# Whatever ends a line for some reader of headers: RFC 5322, Python's str.splitlines, or a terminal.
LINE_ENDERS = ("\r\n", "\r", "\n", "\v", "\f", "\x1c", "\x1e", "\x85", "\u2028", "\u2029")
ENCODED_LINE_ENDERS = (
    "=?utf-8?q?hi=0d=0aBcc:=20eve@example.com?=",
    "=?utf-8?B?aGkNCkJjYzogZXZlQGV4YW1wbGUuY29t?=",
    "=?us-ascii?q?hi =0d=0aBcc: eve@example.com?=",
    "plain at first =?utf-8?q?=0A?= and after",
    "=?utf-8*en?q?=0Awithout an end",
)
names = st.text(st.characters(exclude_categories=["C", "Z", "M"]), min_size=1, max_size=30)


def email(**fields: Any) -> Email:
    return Email.model_validate({"to": "ada@example.org", "subject": "Hi", "text": "Hello"} | fields)


def refusal(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        email(**fields)
    return "; ".join(f"{error['loc']}: {error['msg']}" for error in caught.value.errors())


def addresses(count: int) -> list[str]:
    return [f"user{number}@example.org" for number in range(count)]


def in_each_field(text: str) -> dict[str, Any]:
    return {
        "subject": text,
        "sender": f'"{text}" <ada@example.org>',
        "reply_to": f'"{text}" <ada@example.org>',
        "to": f'"{text}" <ada@example.org>',
        "cc": f"{text} <ada@example.org>",
        "bcc": f"ada@example.org{text}",
        "attachments": [{"file": new_id(), "name": text}],
    }


def test_one_recipient_may_be_given_without_a_list() -> None:
    assert email(to="ada@example.org").to == ("ada@example.org",)


def test_blind_copies_alone_are_recipients_enough() -> None:
    assert email(to=[], bcc=["eve@example.org"]).to == ()


def test_a_hundred_recipients_are_taken_and_one_more_is_refused() -> None:
    assert MAX_RECIPIENTS == 100
    assert len(email(to=addresses(60), cc=addresses(30), bcc=addresses(10)).to) == 60
    assert "101 recipients, and at most 100" in refusal(to=addresses(60), cc=addresses(30), bcc=addresses(11))
    assert "at most 100" in refusal(to=addresses(10_000))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"to": []}, "name at least one recipient"),
        ({"text": None}, "give text, html or a template"),
        ({"template": "welcome"}, "either a template, or text and html"),
        ({"template": "../../etc/passwd", "text": None}, "template"),
        ({"text": ""}, "text"),
        ({"subject": "x" * 999}, "at most 998 characters"),
        ({"to": "ada"}, "not a mail address"),
        ({"to": "ada@example.org, eve@example.org"}, "not a mail address"),
        ({"to": "ada@example.org, Eve <eve@example.org>"}, "not a mail address"),
        ({"to": "ada@@example.org"}, "not a mail address"),
        ({"reply_to": "dörte@example.org"}, "ASCII before the @"),
        ({"text": "a\x00b"}, "NUL"),
        ({"variables": {"deep": [{"in": "\x00"}]}}, "NUL"),
        ({"bbc": "eve@example.org"}, "bbc"),
        ({"attachments": [{"file": "../../etc/passwd"}]}, "file"),
        ({"attachments": [{"file": new_id(), "media_type": "text/html; charset=x"}]}, "media_type"),
        ({"attachments": [{"file": new_id(), "media_type": "text/html\r\nX: y"}]}, "media_type"),
        ({"attachments": [{"file": new_id()}] * 21}, "attachments"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(fields: dict[str, Any], said: str) -> None:
    assert said in refusal(**fields)


@pytest.mark.parametrize("field", in_each_field(""))
@pytest.mark.parametrize("ender", LINE_ENDERS)
def test_no_field_of_a_header_may_hold_an_end_of_line(field: str, ender: str) -> None:
    said = refusal(**{field: in_each_field(f"hi{ender}Bcc: eve@example.com")[field]})
    assert field in said
    assert "must be one line" in said


@pytest.mark.parametrize("field", in_each_field(""))
@pytest.mark.parametrize("word", ENCODED_LINE_ENDERS)
def test_no_field_of_a_header_may_hold_an_encoded_word(field: str, word: str) -> None:
    said = refusal(**{field: in_each_field(word)[field]})
    assert field in said
    assert "must be plain text" in said


def test_a_subject_may_ask_questions() -> None:
    for subject in ("What? 1+1=?", "a=?b", "really?= yes", "=?="):
        assert email(subject=subject).subject == subject


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Ada <ada@example.org>", "Ada <ada@example.org>"),
        ('"Lovelace, Ada" <ada@example.org>', '"Lovelace, Ada" <ada@example.org>'),
        ("A. Lovelace <ada@example.org>", '"A. Lovelace" <ada@example.org>'),
        ("Ada Löwe <ada@example.org>", "Ada Löwe <ada@example.org>"),
        (r'"Ada \"the first\"" <ada@example.org>', r'"Ada \"the first\"" <ada@example.org>'),
        ("<ada@EXAMPLE.org>", "ada@example.org"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("root@localhost", "root@localhost"),
    ],
)
def test_an_address_is_kept_in_its_one_right_form(written: str, kept: str) -> None:
    assert email(to=written).to == (kept,)


@given(name=names)
def test_a_payload_survives_being_stored(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    try:
        order = email(to=f'"{quoted}" <ada@example.org>', sender=f'"{quoted}" <eve@example.org>')
    except ValidationError:
        return  # such as a name that is an encoded word
    assert Email.model_validate_json(order.model_dump_json()) == order


def test_an_attachment_needs_no_more_than_a_file() -> None:
    file = new_id()
    assert email(attachments=[{"file": file}]).attachments == (Attachment(file=file),)
