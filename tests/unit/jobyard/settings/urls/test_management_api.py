"""Where Flower asks RabbitMQ about its queues, unless it is told."""

import pytest

from jobyard.settings.urls.amqp import management_api


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("amqp://host", "http://guest:guest@host:15672/api/"),
        ("amqp://ada:s%2Fcret@host:5672/shop", "http://ada:s%2Fcret@host:15672/api/"),
        ("amqps://ada:x@[::1]:5671;amqps://ada:x@other", "http://ada:x@[::1]:15672/api/"),
        ("amqp://ada:x@[::1]", "http://ada:x@[::1]:15672/api/"),
    ],
)
def test_it_is_on_the_first_node_with_the_login_as_it_stands_in_the_url(url: str, api: str) -> None:
    assert management_api(url) == api
