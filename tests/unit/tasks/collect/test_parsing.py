"""What a body is, and what is read of it: HTML, JSON, feeds and tables, and the hostile ones among them."""

import codecs
import json
import resource
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobyard.fetching.fetch import Fetched
from tasks.collect import feed_outline
from tasks.collect.documents import Document, Feed, Kind, Page, Parsed, Table
from tasks.collect.encodings import declared_in_xml, decode
from tasks.collect.limits import RESULT_BYTES
from tasks.collect.parsing import UnreadableError, kind_of, parse
from tasks.collect.payload import Collected
from tasks.collect.task import collect_page

URL = "https://example.org/dir/page"
DECLARATION = b'<?xml version="1.0"?>'
RSS = b"""<rss version="2.0"><channel><title>News</title>
<item><title>One</title><link>https://example.org/1</link><pubDate>Mon, 06 Sep 2021 02:01:00 +0200</pubDate>
<description>First</description></item><item><title>Two</title><pubDate>yesterday</pubDate></item>
</channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>News</title><entry><title>One</title>
<link href="https://example.org/1"/><updated>2021-09-06T00:01:00Z</updated></entry></feed>"""


def fetched(body: bytes, content_type: str = "") -> Fetched:
    return Fetched(URL, 200, {"content-type": content_type} if content_type else {}, body, ())


def read(body: bytes, kind: Kind, content_type: str = "") -> Any:
    """What is read of a body, after it was stored as a result and read again."""
    return as_stored(parse(fetched(body, content_type), kind), kind)


def as_stored(parsed: Parsed | None, kind: Kind) -> Parsed | None:
    collected = Collected(
        url=URL,
        status=200,
        redirects=(),
        not_modified=False,
        kind=kind,
        media_type="",
        etag=None,
        last_modified=None,
        size=0,
        file=None,
        parsed=parsed,
    )
    stored = collect_page.definition.result_adapter.validate_json(collect_page.definition.encode(collected))
    assert stored == collected
    return stored.parsed


@pytest.mark.parametrize(
    ("content_type", "body", "kind"),
    [
        ("text/html; charset=utf-8", b"hello", Kind.HTML),
        ("application/xhtml+xml", b"<rss>", Kind.HTML),
        ("", b" \r\n<!doctype html>", Kind.HTML),
        ("", RSS, Kind.FEED),
        ("application/rss+xml", b"", Kind.FEED),
        ("application/atom+xml", b"", Kind.FEED),
        ("text/xml", DECLARATION + RSS, Kind.FEED),
        ("application/xml", ATOM, Kind.FEED),
        ("text/xml", b"<?xml version='1.0'?><other/>", Kind.RAW),
        ("text/html", DECLARATION + RSS, Kind.FEED),
        ("text/html; charset=utf-8", b"\n<!-- <html> --><?x y?>" + ATOM, Kind.FEED),
        ("text/plain", codecs.BOM_UTF8 + RSS, Kind.FEED),
        ("text/plain", RSS.decode().encode("utf-16"), Kind.FEED),
        ("application/octet-stream", b"<!DOCTYPE rss [<!ENTITY a 'b'>]>" + RSS, Kind.FEED),
        ("text/plain", b"<a:feed xmlns:a='http://www.w3.org/2005/Atom'/>", Kind.FEED),
        ("text/plain", b"<rdf:RDF xmlns:rdf='x' xmlns='http://purl.org/rss/1.0/'>", Kind.FEED),
        ("application/rdf+xml", b"<rdf:RDF xmlns:rdf='x' xmlns:foaf='y'>", Kind.RAW),
        ("text/html", b"<html><rss>", Kind.HTML),
        ("text/html", b"<!-- <rss> --><p>", Kind.HTML),
        ("text/html", b"<!-- > <rss>", Kind.HTML),
        ("text/plain", b"the element <rss>", Kind.RAW),
        ("text/xml", b"<sitemap><feed></feed></sitemap>", Kind.RAW),
        ("image/png", RSS, Kind.RAW),
        ("application/json", b"", Kind.JSON),
        ("application/ld+json", b"", Kind.JSON),
        ("text/csv", b"", Kind.CSV),
        ("text/tab-separated-values", b"", Kind.CSV),
        ("image/png", b"<", Kind.RAW),
        ("", b"\x89PNG", Kind.RAW),
        ("", b"", Kind.RAW),
    ],
)
def test_a_body_is_what_its_type_or_else_its_first_bytes_say(
    content_type: str, body: bytes, kind: Kind
) -> None:
    assert kind_of(fetched(body, content_type)) is kind


def test_a_raw_body_is_not_read() -> None:
    assert parse(fetched(b"\x00"), Kind.RAW) is None


# HTML


def test_a_page_has_a_title_its_visible_text_and_absolute_links() -> None:
    html = b"""<html><head><title> The
      title </title><style>p {}</style><script>var x = "<a href=/no>";</script></head><body>
      <svg><title>drawing</title></svg><p>Hello <b>world</b></p><noscript>no</noscript>
      <a href="other">a</a> <a href="/top#part">b</a> <a href="//cdn.example.org/x">c</a> <a href="?q=1">d</a>
      <a href="other#again">e</a> <a href="mailto:x@y.org">f</a> <a href="javascript:x()">g</a>
      <a href="http://[bad">h</a> <a href>i</a></body></html>"""
    page = read(html, Kind.HTML)
    assert isinstance(page, Page)
    assert page.title == "The title"
    assert page.text.startswith("Hello world a b c")
    assert not {"no", "var", "drawing"} & set(page.text.split())
    assert page.links == (
        "https://example.org/dir/other",
        "https://example.org/top",
        "https://cdn.example.org/x",
        "https://example.org/dir/page?q=1",
        "https://example.org/dir/page",
    )
    assert not page.truncated


def test_links_count_from_the_base_that_a_page_names() -> None:
    assert read(b'<base href="/base/"><a href="x">x</a>', Kind.HTML).links == ("https://example.org/base/x",)


@pytest.mark.parametrize(
    "html", [b"", b"\x00", b"<frameset><frame></frameset>", b"<", b"<!---->", b"\xff\xfe"]
)
def test_a_page_that_says_nothing_is_an_empty_page(html: bytes) -> None:
    page = read(html, Kind.HTML)
    assert (page.title, page.links) == ("", ())


def test_more_than_fits_a_result_is_cut_and_said_to_be() -> None:
    links = b"".join(b"<a href=/%d></a>" % number for number in range(1001))
    page = read(links + b"\x01" * RESULT_BYTES, Kind.HTML)  # a control character takes six bytes of JSON
    assert (len(page.links), page.truncated) == (1000, True)
    assert len(page.model_dump_json()) < RESULT_BYTES + 100


@pytest.mark.parametrize(
    "html",
    [b"<div>" * 300_000, b"".join(b"<p><b a=%d></p>" % number for number in range(50_000))],
    ids=["deep", "wide"],
)
def test_a_page_that_is_made_to_be_hard_to_read_costs_no_more_than_a_page_may(html: bytes) -> None:
    with pytest.raises(UnreadableError, match="takes more than 3 s of CPU time, or more memory"):
        read(html, Kind.HTML)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("Grüße €".encode(), "text/html; charset=utf-8"),
        ("Grüße €".encode("cp1252"), 'text/html; charset="windows-1252"'),
        ("Grüße €".encode("cp1252"), "text/html; charset=none-such"),
        ("Grüße €".encode("cp1252"), "text/html; charset=undefined"),
        ("Grüße €".encode("cp1252"), "text/html"),
        ("Grüße €".encode(), "text/html; charset=rot13"),
        ("Grüße €".encode(), "text/html"),
        ("Grüße €".encode("utf-8-sig"), "text/html; charset=windows-1252"),
        ("Grüße €".encode("utf-16"), "text/html"),
        (codecs.BOM_UTF16_BE + "Grüße €".encode("utf-16-be"), "text/html; charset=utf-8"),
        (b"<meta charset=iso-8859-15>" + "Grüße €".encode("iso-8859-15"), "text/html"),
        (b"<meta charset=none-such>" + "Grüße €".encode(), "text/html"),
        (b"<meta charset=utf-16>" + "Grüße €".encode(), "text/html"),
        (
            b"<meta content='text/html; charset=iso-8859-15' http-equiv=Content-Type>"
            + "Grüße €".encode("iso-8859-15"),
            "text/html",
        ),
        (b"<!-- <meta charset=koi8-r> -->" + "Grüße €".encode(), "text/html"),
        (b"<script>'<meta charset=koi8-r>'</script>" + "Grüße €".encode(), "text/html"),
        (b"<link rel=x charset=koi8-r href='?charset=koi8-r'>" + "Grüße €".encode(), "text/html"),
        (b"<?xml version='1.0' encoding='iso-8859-15'?>" + "Grüße €".encode("iso-8859-15"), "text/html"),
        (b"<meta charset=koi8-r>" + "Grüße €".encode(), "text/html; charset=utf-8"),
    ],
)
def test_text_is_read_in_the_charset_that_is_named_or_else_fits(body: bytes, content_type: str) -> None:
    assert read(body, Kind.HTML, content_type).text == "Grüße €"


@pytest.mark.parametrize(
    ("body", "label", "text"),
    [
        (b"\x93so\x94 \x80", "iso-8859-1", "\u201cso\u201d \u20ac"),
        (b"\x93so\x94 \x80", "us-ascii", "\u201cso\u201d \u20ac"),
        ("\u9555\u20ac".encode("gb18030"), "gb2312", "\u9555\u20ac"),
        ("\u2460\u9ad9".encode("cp932"), "shift_jis", "\u2460\u9ad9"),
        ("\ub620\ubc29\uac01\ud558".encode("cp949"), "euc-kr", "\ub620\ubc29\uac01\ud558"),
        ("\u7684\u4eba".encode("big5"), "big5", "\u7684\u4eba"),
        ("Gr\u00fc\u00dfe \u20ac".encode() * 9 + b"\xff", "", "Gr\u00fc\u00dfe \u20ac" * 9 + "\ufffd"),
        ("Gr\u00fc\u00dfe".encode() + b"\xff", "utf-8", "Gr\u00fc\u00dfe\ufffd"),
    ],
)
def test_a_label_means_what_it_means_to_a_browser(body: bytes, label: str, text: str) -> None:
    content_type = f"text/html; charset={label}" if label else "text/html"
    assert read(body, Kind.HTML, content_type).text == text


@pytest.mark.parametrize("start", ["<![foo[x]]>", "<![%bad[", "<![ temp [", "<![if !IE]>", "<![CDATA["])
def test_a_marked_section_is_no_declaration(start: str) -> None:
    assert "Gr\u00fc\u00dfe" in read(f"{start}<p>Gr\u00fc\u00dfe".encode(), Kind.HTML, "text/html").text


def test_a_content_type_with_odd_parameters_names_no_charset() -> None:
    odd = f"text/html; charset*{'9' * 5000}=x"
    assert read("Gr\u00fc\u00dfe".encode(), Kind.HTML, odd).text == "Gr\u00fc\u00dfe"


@pytest.mark.parametrize("base", ["http://[::1", "//\u2100x/", ""])
def test_a_base_that_is_no_url_is_ignored(base: str) -> None:
    page = read(f"<base href='{base}'><a href=x>x</a>".encode(), Kind.HTML, "text/html")
    assert page.links == ("https://example.org/dir/x",)


def test_an_element_of_a_feed_may_be_called_as_the_parser_calls_its_dates() -> None:
    item = "<item><title>q</title><published_parsed>x</published_parsed></item>"
    feed = read(f"<rss version='2.0'><channel>{item}</channel></rss>".encode(), Kind.FEED)
    assert [(entry.title, entry.published) for entry in feed.entries] == [("q", "")]


def test_a_parser_that_fails_is_said_to() -> None:
    title = "<title>&#xD800;&#x110000;</title>"
    with pytest.raises(UnreadableError, match="its parser failed: UnicodeEncodeError"):
        read(f"<rss version='2.0'><channel>{title}</channel></rss>".encode(), Kind.FEED)


def test_what_a_cell_says_of_a_charset_is_no_declaration() -> None:
    table = read("name,charset=koi8-r\nGr\u00fc\u00dfe,1\n".encode(), Kind.CSV, "text/csv")
    assert table.rows == (("Gr\u00fc\u00dfe", "1"),)


@pytest.mark.parametrize(
    ("declared", "content_type", "written"),
    [
        ("", "application/xml", "utf-8"),
        ("koi8-r", "application/xml", "koi8-r"),
        ("koi8-r", "application/xml; charset=windows-1251", "windows-1251"),
        ("koi8-r", "application/xml", "utf-8-sig"),
    ],
)
def test_of_a_feed_mark_header_and_declaration_count_in_this_order(
    declared: str, content_type: str, written: str
) -> None:
    title = "\u041f\u0440\u0438\u0432\u0435\u0442"
    head = f"<?xml version='1.0' encoding='{declared}'?>" if declared else ""
    body = f"{head}<rss version='2.0'><channel><title>{title}</title></channel></rss>".encode(written)
    assert read(body, Kind.FEED, content_type).title == title


def test_a_codec_of_pythons_that_no_browser_knows_is_not_used() -> None:
    page = read(b"<title>a\\ud800b</title>", Kind.HTML, "text/html; charset=unicode_escape")
    assert page.title == r"a\ud800b"


@given(
    body=st.binary(max_size=200),
    charset=st.sampled_from(["", "utf-7", "utf-16", "idna", "punycode", "hz", "utf-32"]),
)
def test_no_table_and_no_feed_is_beyond_reading(body: bytes, charset: str) -> None:
    read(body, Kind.CSV, f"text/csv; charset={charset}")
    feed_outline.outline(decode(body, f"text/xml; charset={charset}", declared_in_xml), "http://a.example/")


# JSON


def test_a_json_document_is_kept_as_it_is() -> None:
    value = {"a": [1, 2.5, None, True, "ü", 10**30], "b": {}}
    document = read(json.dumps(value).encode("utf-8-sig"), Kind.JSON)
    assert isinstance(document, Document)
    assert document == Document(value=value, truncated=False)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"<html>", b"[NaN]", b"[Infinity]", b"[-Infinity]", b"[1e400]", b'["\\ud800"]', b"[1,]"),
        *(b"[" * 100_000, b'{"a":' * 100_000, b"[" * 191 + b"]" * 191, b"9" * 5000, b"\xff"),
        *(b"[" + b"0," * RESULT_BYTES, b'["' + b"x" * RESULT_BYTES + b'\xff"]', b"x" * RESULT_BYTES + b"yz"),
    ],
    ids=range(17),
)
def test_what_is_not_json_is_said_not_to_be(body: bytes) -> None:
    with pytest.raises(UnreadableError, match=r"not JSON|nested deeper|too large"):
        read(body, Kind.JSON)


@pytest.mark.parametrize("levels", [1, 100, 190])
def test_a_document_that_is_accepted_can_be_read_again(levels: int) -> None:
    assert read(b"[" * levels + b"]" * levels, Kind.JSON).value is not None
    assert read(b'{"a":' * levels + b"1" + b"}" * levels, Kind.JSON).value is not None


def test_a_character_that_no_database_takes_is_replaced_in_json() -> None:
    assert read(b'{"a\\u0000": ["\\u0000"]}', Kind.JSON).value == {"a�": ["�"]}


def test_a_large_document_takes_no_memory_of_the_worker() -> None:
    body = b"[" + b"[]," * 3_000_000 + b"0]"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read(body, Kind.JSON) == Document(value=None, truncated=True)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024, "in KiB, of half a GiB"


@pytest.mark.parametrize("body", [b'["' + b"x" * RESULT_BYTES + b'"]', b"[" + b"1e15," * 75_000 + b"0]"])
def test_a_document_that_is_larger_than_a_result_is_left_to_the_file(body: bytes) -> None:
    assert read(body, Kind.JSON) == Document(value=None, truncated=True)


# Feeds


def test_an_rss_feed_has_entries_with_dates_in_utc() -> None:
    feed = read(RSS, Kind.FEED)
    assert isinstance(feed, Feed)
    assert (feed.title, feed.truncated) == ("News", False)
    one, two = feed.entries
    assert (one.title, one.link, one.summary) == ("One", "https://example.org/1", "First")
    assert one.published == "2021-09-06T00:01:00Z"
    assert (two.title, two.published, two.link) == ("Two", "", "")


RSS_START = "<rss version='2.0'"
ATOM_START = "<feed xmlns='http://www.w3.org/2005/Atom'"


@pytest.mark.parametrize(
    ("feed", "link"),
    [
        (f"{RSS_START}><channel><item><link>/news/1</link></item></channel></rss>", "example.org/news/1"),
        (f"{RSS_START}><channel><item><link>1</link></item></channel></rss>", "example.org/dir/1"),
        (
            f"{RSS_START} xml:base='https://b.example/x/'><channel><item xml:base='y/'><link>1</link></item>"
            "</channel></rss>",
            "b.example/x/y/1",
        ),
        (
            f"{ATOM_START} xml:base='https://b.example/x/'><entry><link href='1'/></entry></feed>",
            "b.example/x/1",
        ),
        (
            f"{ATOM_START} xml:base='/x/'><entry xml:base='y/'><link xml:base='z/' href='1'/></entry></feed>",
            "example.org/x/y/z/1",
        ),
        (
            f"{ATOM_START} xml:base='http://[bad'><entry><link href='1'/></entry></feed>",
            "example.org/dir/1",
        ),
    ],
)
def test_a_link_of_a_feed_counts_from_the_nearest_base(feed: str, link: str) -> None:
    assert [entry.link for entry in read(feed.encode(), Kind.FEED).entries] == [f"https://{link}"]


def test_line_breaks_before_a_feed_are_nothing() -> None:
    assert read(b"\n" * 300_000 + RSS, Kind.FEED).title == "News"


def test_a_feed_that_is_made_to_be_hard_to_read_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.collect.outlines._LONGEST_SECONDS", 0.01)
    with pytest.raises(UnreadableError, match="takes more than 3 s of CPU time"):
        read(RSS, Kind.FEED)


def test_an_atom_feed_is_read_like_any() -> None:
    (entry,) = read(ATOM, Kind.FEED).entries
    assert (entry.title, entry.link, entry.published) == (
        "One",
        "https://example.org/1",
        "2021-09-06T00:01:00Z",
    )


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"<html><body>hello</body></html>", b"/etc/passwd", b'{"a": 1}']
)
def test_what_is_no_feed_is_said_not_to_be(body: bytes) -> None:
    with pytest.raises(UnreadableError, match="neither RSS nor Atom"):
        read(body, Kind.FEED)


def test_a_feed_neither_explodes_nor_reads_files() -> None:
    entities = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))
    doctype = b'<!DOCTYPE r [<!ENTITY a0 "bomb">%s<!ENTITY file SYSTEM "file:///etc/passwd">]>' % entities
    feed = read(DECLARATION + doctype + RSS.replace(b"News", b"&a9;").replace(b"First", b"&file;"), Kind.FEED)
    assert "bomb" not in feed.title
    assert "root:" not in feed.model_dump_json()


def test_a_feed_of_many_entries_is_cut_and_said_to_be() -> None:
    body = b'<rss version="2.0"><channel>' + b"<item><title>x</title></item>" * 501 + b"</channel></rss>"
    feed = read(body, Kind.FEED)
    assert (len(feed.entries), feed.truncated) == (500, True)


# Tables


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_of_a_table_is_found_out(delimiter: str) -> None:
    text = "name,price\nAda,1.5\n".replace(",", delimiter)
    assert read(text.encode(), Kind.CSV) == Table(
        columns=("name", "price"), rows=(("Ada", "1.5"),), truncated=False
    )


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("a;b\n1,5;2,5\n", ("a", "b"), (("1,5", "2,5"),)),
        ("Datum;Wert, EUR\n2024;1,5\n", ("Datum", "Wert, EUR"), (("2024", "1,5"),)),
        ('a,b\n"x, y",2\n', ("a", "b"), (("x, y", "2"),)),
        ('a, "b"\n1, "2, 3"\n', ("a", "b"), (("1", "2, 3"),)),
        ('a,b\n"say ""hi""","one\ntwo"\n', ("a", "b"), (('say "hi"', "one\ntwo"),)),
        ("name\nAda\nBob\n", ("name",), (("Ada",), ("Bob",))),
        ("a,b\r1,2\r", ("a", "b"), (("1", "2"),)),
        ("\ufeffa,b\n1,\x00\n", ("a", "b"), (("1", "�"),)),
        ("", (), ()),
    ],
)
def test_a_table_is_read_as_it_was_meant(
    text: str, columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]
) -> None:
    table = read(text.encode(), Kind.CSV, "text/csv; charset=utf-8")
    assert (table.columns, table.rows) == (columns, rows)


def test_a_table_with_tabs_by_its_type_is_parted_at_tabs() -> None:
    text = b"name\tplace\nAda, Countess\tLondon, GB\n"
    table = read(text, Kind.CSV, "text/tab-separated-values")
    assert (table.columns, table.rows) == (("name", "place"), (("Ada, Countess", "London, GB"),))


def test_a_quote_that_first_comes_late_is_a_quote_all_the_same() -> None:
    text = "a,b\n" + '"x","y"\n' * 4000 + '"say ""hi""","z"\n'
    assert read(text.encode(), Kind.CSV).rows[-1] == ('say "hi"', "z")


@pytest.mark.parametrize(
    "text", ["a,b\n" * 5002, "x" * 130_000 + "x" * 5000, "a,b\n" + ("x" * 999 + ",y\n") * 1000]
)
def test_a_table_that_is_larger_than_a_result_is_cut_and_said_to_be(text: str) -> None:
    table = read(text.encode(), Kind.CSV)
    assert table.truncated
    assert len(table.rows) <= 5000
