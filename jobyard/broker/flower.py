"""Flower's configuration file, which `jobyard flower` names: where it listens, its password, whom it asks."""

import sys
from urllib.parse import urlsplit

from kombu.transport import TRANSPORT_ALIASES

from jobyard.broker.broadcast import no_events
from jobyard.broker.celery_app import app
from jobyard.broker.checks.broker import broker_fault, exit_if_misconfigured
from jobyard.broker.flower_password import flower_password
from jobyard.settings import get_settings
from jobyard.settings.urls.amqp import management_api, plain_urls
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind

exit_if_misconfigured(broker_fault(get_settings(), with_queues=False))

_settings = get_settings().flower

if _words := no_events(get_settings().broker_url):
    sys.exit(f"Flower does not start: {_words}")

# Flower knows brokers by the names of kombu's transports, so ours goes by such a name here.
if app.conf.broker_transport:
    TRANSPORT_ALIASES[urlsplit(get_settings().broker_url).scheme] = app.conf.broker_transport
    app.conf.broker_transport = None
    if broker_kind(get_settings().broker_url) is BrokerKind.RABBITMQ:
        app.conf.update(broker_url=";".join(plain_urls(get_settings().broker_url)))

address = _settings.host
port = _settings.port
basic_auth = [f"{_settings.user}:{flower_password(get_settings())}"]
max_tasks = 10_000
logging = "warning"
if _settings.broker_api is not None:
    broker_api = _settings.broker_api.get_secret_value()
elif broker_kind(get_settings().broker_url) is BrokerKind.RABBITMQ:
    # Flower would write the password into it as it is, and take what follows a / or @ for the host.
    broker_api = management_api(get_settings().broker_url)
