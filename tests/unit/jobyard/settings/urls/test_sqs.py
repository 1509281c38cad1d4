"""What an SQS URL may say, and what is said about one that is wrong."""

import pytest

from jobyard.broker.broker_options import broker_options
from jobyard.settings import Settings
from jobyard.settings.sections import BrokerSettings, WorkerSettings
from jobyard.settings.urls.sqs import parse_sqs_address


def test_the_region_is_enough_and_the_rest_is_as_at_aws() -> None:
    address = parse_sqs_address("sqs://?region=eu-central-1")
    assert (address.region, address.endpoint, address.prefix) == ("eu-central-1", None, "jobyard-")
    assert (address.key, address.secret, address.kombu_url) == (None, None, "sqs://")
    assert address.is_secure


def test_an_endpoint_a_prefix_and_a_key_are_said_in_the_url() -> None:
    address = parse_sqs_address(
        "sqs://AKIA:a%2Fb%2Bc@?region=x-1&endpoint=http://127.0.0.1:5000/&prefix=shop_"
    )
    assert (address.key, address.secret) == ("AKIA", "a/b+c")
    assert (address.endpoint, address.prefix) == ("http://127.0.0.1:5000", "shop_")
    assert address.kombu_url == "sqs://AKIA:a%2Fb%2Bc@127.0.0.1:5000"
    assert not address.is_secure


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqs://", "must name its region: sqs://?region=eu-central-1"),
        ("sqs://?region=", "must name its region"),
        ("sqs://?region=Frankfurt am Main", "must name its region"),
        (
            "sqs://localhost:4566?region=x",
            "has no host and no path: write sqs://?region=eu-central-1&endpoint=http://",
        ),
        ("sqs://KEY:sec/ret@?region=x", "percent-encoded: / as %2F"),
        ("sqs://KEY:sec?ret@?region=x", "percent-encoded: / as %2F"),
        ("sqs://KEY@?region=x", "both key and secret"),
        ("sqs://:SECRET@?region=x", "both key and secret"),
        ("sqs://?region=x&regoin=y", "no option 'regoin': there are region, endpoint, prefix"),
        ("sqs://?region=x&endpoint=127.0.0.1:5000", "endpoint= must be http:// or https://"),
        ("sqs://?region=x&endpoint=http://h:99999", "endpoint= must be http:// or https://"),
        ("sqs://?region=x&endpoint=http://h/path", "endpoint= must be http:// or https://"),
        ("sqs://?region=x&prefix=a.b", "prefix= may have up to 60 letters"),
    ],
)
def test_a_wrong_url_is_told_the_right_way_to_write_it(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        parse_sqs_address(url)
    assert says in str(refusal.value)
    assert "ret" not in str(refusal.value).replace("secret", "")


@pytest.mark.parametrize(("lease", "seconds"), [("30", 3600), ("PT2H", 14400), ("PT10H", 43200)])
def test_a_message_stays_invisible_longer_than_any_lease(lease: str, seconds: int) -> None:
    worker = WorkerSettings.model_validate({"lease": lease})
    settings = Settings(broker=BrokerSettings(url="sqs://?region=x"), worker=worker)
    assert broker_options(settings)["broker_transport_options"]["visibility_timeout"] == seconds


def test_nobody_is_asked_or_told_what_sqs_cannot_carry() -> None:
    options = broker_options(Settings(broker=BrokerSettings(url="sqs://?region=x")))
    assert options["worker_enable_remote_control"] is options["worker_send_task_events"] is False
