"""Which addresses may be connected to, whichever way they are written, resolved or redirected to."""

import asyncio
from ipaddress import IPv4Address, IPv6Address, ip_address

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.settings import CollectSettings
from jobyard.fetching.addresses import is_public, literal_address, may_connect
from jobyard.fetching.allowed_networks import AllowedNetwork
from jobyard.fetching.guard import GuardedBackend, NameNotResolvedError, resolve
from jobyard.jobs.errors import Discard
from tasks.collect.payload import Collect
from tests.support.changed_settings import changed_settings
from tests.support.http_server import HttpServer
from tests.support.processes import free_port
from tests.support.scripted_names import ScriptedLoop, run_with_names

SPELLINGS = [
    *("127.0.0.1", "127.1", "127.0.1", "0x7f000001", "0x7f.1", "2130706433", "0177.0.0.1", "017700000001"),
    *("127.0.0.2", "127.255.255.254", "0.0.0.0", "0", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "0xa9fea9fe", "2852039166", "100.64.0.1", "100.100.100.200"),
    *("192.0.0.170", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1"),
    *(
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
    ),
    *("[::ffff:169.254.169.254]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]"),
    *("[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2001:0:7f00:1::]", "[fec0::1]"),
    *("[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[ff0e::1]", "[2001:db8::1]", "[100::1]"),
    *("[5f00::1]", "[3fff::1]", "[0:0:0:0:0:0:0:1]"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "192.169.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]
LOOPBACK = IPv4Address("127.0.0.1")


def places(*texts: str) -> tuple[AllowedNetwork, ...]:
    return tuple(AllowedNetwork.parse(text) for text in texts)


def allowing(*texts: str) -> CollectSettings:
    return CollectSettings(allow=places(*texts))


@pytest.mark.parametrize("host", SPELLINGS)
def test_no_spelling_of_an_address_that_is_not_public_is_accepted(host: str) -> None:
    said = "not a public address|Invalid IPv4 address"
    with changed_settings(COLLECT__ALLOW=""), pytest.raises(ValidationError, match=said):
        Collect(url=f"http://{host}/")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/passwd", "only http:// and https://"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", "only http:// and https://"),
        ("//example.org/", "only http:// and https://"),
        ("http:///etc/passwd", "names no host"),
        ("http://user:secret@example.org/", "user name or password"),
        ("http://[::1/", "not a URL"),
        ("http://exa mple.org/", "an invalid host or port"),
        ("http://[fe80::1%25eth0]/", "an invalid host or port"),
        ("http://example.org:99999999/", "an invalid host or port"),
        ("http://example.org:0/", "an invalid host or port"),
        ("http://example.org/\r\nHost: x", "not a URL"),
    ],
)
def test_what_is_no_page_is_refused_and_said_why(url: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Collect(url=url)


@pytest.mark.parametrize("host", PUBLIC)
def test_public_addresses_are_accepted(host: str) -> None:
    address = ip_address(host)
    assert is_public(address)
    assert may_connect(address, 80, ())


@given(address=st.ip_addresses())
def test_no_address_for_a_special_purpose_is_public(address: IPv4Address | IPv6Address) -> None:
    special = (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
    )
    assert not (special and is_public(address))


@given(address=st.ip_addresses(v=4))
def test_no_ipv6_address_that_stands_for_an_ipv4_address_is_public(address: IPv4Address) -> None:
    number = int(address)
    forms = [number, 0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80]
    assert not any(is_public(IPv6Address(form)) for form in forms)


@given(address=st.ip_addresses(v=4))
def test_an_ipv4_address_is_recognised_in_every_way_of_writing_it(address: IPv4Address) -> None:
    a, b, c, d = address.packed
    spellings = [
        *(str(int(address)), hex(int(address)), f"0{int(address):o}", f"{a}.{b}.{c << 8 | d}"),
        *(f"{a}.{b << 16 | c << 8 | d}", f"0x{a:x}.0{b:o}.{c}.{d}"),
    ]
    assert {literal_address(spelling) for spelling in spellings} == {address}


def test_a_name_is_no_address() -> None:
    assert literal_address("example.org") is None
    assert literal_address("127.0.0.1.example.org") is None


def test_an_allowed_network_is_allowed_and_no_other() -> None:
    allow = places("127.0.0.1/32", "10.1.0.0/16")
    assert may_connect(LOOPBACK, 80, allow)
    assert may_connect(ip_address("10.1.2.3"), 443, allow)
    assert not may_connect(ip_address("127.0.0.2"), 80, allow)
    assert not may_connect(ip_address("10.2.0.1"), 80, allow)
    assert not may_connect(ip_address("::1"), 80, allow)


def test_an_allowed_port_is_the_only_one() -> None:
    allow = places("127.0.0.1:8000", "[::1]:8000")
    assert may_connect(LOOPBACK, 8000, allow)
    assert may_connect(ip_address("::1"), 8000, allow)
    assert not may_connect(LOOPBACK, 8001, allow)


def test_what_is_allowed_is_allowed_in_its_ipv6_form_too() -> None:
    assert may_connect(ip_address("::ffff:127.0.0.1"), 80, places("127.0.0.1"))
    assert not may_connect(ip_address("::ffff:127.0.0.2"), 80, places("127.0.0.1"))


def connected(loop: ScriptedLoop, host: str, port: int, *allowed: str) -> None:
    async def connect() -> None:
        stream = await GuardedBackend(allowing(*allowed)).connect_tcp(host, port, timeout=5)
        await stream.aclose()

    run_with_names(loop, connect())


def test_a_name_for_a_private_address_is_refused_before_anything_is_sent() -> None:
    with HttpServer() as server:
        with pytest.raises(Discard, match=r"intranet\.test is 127\.0\.0\.1, which is not a public address"):
            connected(ScriptedLoop({"intranet.test": [["127.0.0.1"]]}), "intranet.test", server.port)
        assert server.connections() == 0


def test_one_private_address_among_public_ones_is_refused() -> None:
    with pytest.raises(Discard, match=r"169\.254\.169\.254"):
        connected(ScriptedLoop({"both.test": [["8.8.8.8", "169.254.169.254"]]}), "both.test", 80)


def test_a_name_that_changes_its_mind_is_asked_only_once() -> None:
    with HttpServer() as server:
        loop = ScriptedLoop({"rebinding.test": [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.3"]]})
        connected(loop, "rebinding.test", server.port, "127.0.0.1")
        assert loop.asked == ["rebinding.test"]
        assert server.connections() == 1


def test_the_next_address_of_a_name_is_tried_where_one_does_not_answer() -> None:
    with HttpServer() as server:
        loop = ScriptedLoop({"two.test": [["127.0.0.2", "127.0.0.1"]]})
        connected(loop, "two.test", server.port, "127.0.0.0/8")
        assert server.connections() == 1


def test_a_connection_that_nobody_takes_is_the_last_ones_fault() -> None:
    with pytest.raises(httpcore.ConnectError):
        connected(ScriptedLoop({"one.test": [["127.0.0.1"]]}), "one.test", free_port(), "127.0.0.0/8")


def test_a_name_without_an_address_is_said_to_have_none() -> None:
    with pytest.raises(NameNotResolvedError, match=r"nowhere\.test cannot be resolved"):
        connected(ScriptedLoop({}), "nowhere.test", 80)


def test_localhost_is_resolved_to_what_it_is() -> None:
    addresses = asyncio.run(resolve("localhost", 80))
    assert addresses
    assert all(address.is_loopback for address in addresses)


def test_no_socket_file_is_ever_connected_to() -> None:
    async def connect() -> None:
        await GuardedBackend(allowing("0.0.0.0/0")).connect_unix_socket("/run/some.sock")

    with pytest.raises(Discard, match="socket file"):
        asyncio.run(connect())
