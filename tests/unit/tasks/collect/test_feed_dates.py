"""The dates of a feed's entries: right, or empty."""

import pytest

from tasks.collect.feed_outline import outline


def published(item: str) -> str:
    feed = outline(f"<rss version='2.0'><channel><item>{item}</item></channel></rss>", "http://a.example/")
    assert feed is not None
    [entry] = feed["entries"]
    return str(entry["published"])


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("Wed, 29 Jun 2016 15:07:41 GMT", "2016-06-29T15:07:41Z"),
        ("Wed, 29 Jun 2016 15:07:41 +0200", "2016-06-29T13:07:41Z"),
        ("Wed, 29 Jun 2016 15:07:41 -0000", "2016-06-29T15:07:41Z"),
        ("Wed, 29 Jun 16 15:07 EST", "2016-06-29T20:07:00Z"),
        ("Wed, 29 Jun 2016 15:07:41 CEST", "2016-06-29T13:07:41Z"),
        ("29 Jun 2016 15:07:41 MESZ", "2016-06-29T13:07:41Z"),
        ("Wed, 29 Jun 2016 15:07:41 GMT+2", "2016-06-29T13:07:41Z"),
        ("Wed Jun 29 2016 15:07:41 GMT+0200 (Central European Summer Time)", "2016-06-29T13:07:41Z"),
        ("Wed, 29 Jun 2016 15:07:41 +0100 (BST)", "2016-06-29T14:07:41Z"),
        ("Wed Jun 29 15:07:41 CEST 2016", "2016-06-29T13:07:41Z"),
        ("June 29th, 2016 3:07 pm", "2016-06-29T15:07:00Z"),
        ("2016-06-29T15:07:41.123456+02:00", "2016-06-29T13:07:41Z"),
        ("2016-06-29T15:07:41Z", "2016-06-29T15:07:41Z"),
        ("2016-06-09 15:07:41", "2016-06-09T15:07:41Z"),
        ("2016/6/29 15:07:41", "2016-06-29T15:07:41Z"),
        ("2016/6/9", "2016-06-09T00:00:00Z"),
        ("20160609T150741Z", "2016-06-09T15:07:41Z"),
        ("29.06.2016 15:07", "2016-06-29T15:07:00Z"),
        ("06/29/2016", "2016-06-29T00:00:00Z"),
        ("2024-02-29", "2024-02-29T00:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_a_date_is_given_in_utc(written: str, utc: str) -> None:
    assert published(f"<pubDate>{written}</pubDate>") == utc


@pytest.mark.parametrize(
    "written",
    [
        *("2024-02-30", "2024-02-30T10:00:00Z", "Fri, 30 Feb 2024 10:00:00 GMT", "2015-02-29", "2024-13-01"),
        *("0000-00-00 00:00:00", "00000000", "9999-99-99", "10000-01-01", "-0001-01-01T00:00:00Z"),
        *("2016-06-29T25:07:41Z", "2016-06-29T15:07:41+99:99", "0001-01-01T00:00:00+02:00"),
        *("06.07.2016", "6/7/2016", "01/02/03", "16-06-29", "160629"),  # which is the day?
        *("2016", "2016-06", "Jun 2016", "29 Jun", "Wednesday", "12:30", "Wed 15:00", "29"),
        *("Wed, 29 Jun 2016 15:07:41 IST", "Wed, 29 Jun 2016 15:07:41 A", "29 Jun 2016 15:07 CET+1"),
        *("Mi, 29 Juni 2016 15:07:41 +0200", "mar, 5 nov 2016", "2016-W26-3", "2016-181", "1467212861"),
        *("yesterday", "", "9" * 5000, "123456789012345678901234567890h1229290012:"),
    ],
)
def test_what_is_no_clear_date_is_empty(written: str) -> None:
    assert published(f"<pubDate>{written}</pubDate>") == ""


def test_where_a_date_of_publication_is_none_that_of_the_change_counts() -> None:
    changed = "<dc:date xmlns:dc='http://purl.org/dc/elements/1.1/'>2016-06-29</dc:date>"
    assert published(f"<pubDate>2024-02-30</pubDate>{changed}") == "2016-06-29T00:00:00Z"
    assert published(f"<pubDate>Tue, 28 Jun 2016</pubDate>{changed}") == "2016-06-28T00:00:00Z"


def test_a_date_does_not_depend_on_the_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.tzname", ("IST", "IDT"))
    assert published("<pubDate>Wed, 29 Jun 2016 15:07:41 IST</pubDate>") == ""
