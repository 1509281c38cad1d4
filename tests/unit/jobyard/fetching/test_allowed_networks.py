"""Private places that may be connected to all the same."""

from ipaddress import ip_address

import pytest

from jobyard.fetching.allowed_networks import AllowedNetwork


@pytest.mark.parametrize(
    ("text", "network", "port"),
    [
        ("10.1.0.0/16", "10.1.0.0/16", None),
        ("10.1.2.3/16", "10.1.0.0/16", None),
        ("127.0.0.1", "127.0.0.1/32", None),
        ("127.0.0.1:8000", "127.0.0.1/32", 8000),
        ("10.0.0.0/8:443", "10.0.0.0/8", 443),
        ("::1", "::1/128", None),
        ("[::1]:8000", "::1/128", 8000),
        ("[fd00::/8]:80", "fd00::/8", 80),
    ],
)
def test_a_place_is_a_network_or_one_port_of_it(text: str, network: str, port: int | None) -> None:
    place = AllowedNetwork.parse(text)
    assert (str(place.network), place.port) == (network, port)
    assert AllowedNetwork.parse(str(AllowedNetwork.parse("10.0.0.0/8:443"))) == AllowedNetwork.parse(
        "10.0.0.0/8:443"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "example.org:80",
        "10.0.0.0/33",
        "10.0.0.0/8:0",
        "10.0.0.0/8:65536",
        ":80",
        "a:b",
        "10.0.0.1:²",
    ],
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither a network|not appear to be"):
        AllowedNetwork.parse(text)


def test_a_place_covers_its_addresses_and_its_port() -> None:
    whole, port = AllowedNetwork.parse("10.0.0.0/8"), AllowedNetwork.parse("10.0.0.0/8:443")
    inside, outside = ip_address("10.2.3.4"), ip_address("11.0.0.1")
    assert whole.covers(inside, 80)
    assert port.covers(inside, 443)
    assert not port.covers(inside, 80)
    assert not whole.covers(outside, 80)


def test_a_place_of_one_family_covers_nothing_of_the_other() -> None:
    assert not AllowedNetwork.parse("0.0.0.0/0").covers(ip_address("::1"), 80)
    assert not AllowedNetwork.parse("::/0").covers(ip_address("127.0.0.1"), 80)
