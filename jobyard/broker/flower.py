"""Flower's configuration file, which `jobyard flower` names: its address, its password and its broker."""

import sys
from logging import WARNING, getLogger
from urllib.parse import urlsplit

from flower.views.monitor import Metrics
from kombu.transport import TRANSPORT_ALIASES
from tornado import web

from jobyard.broker.broadcast import no_broadcast_reason
from jobyard.broker.celery_app import app
from jobyard.broker.checks.broker import broker_fault, exit_if_misconfigured
from jobyard.broker.flower_orders import revoke_in_the_ledger
from jobyard.broker.flower_password import flower_password
from jobyard.broker.flower_workers import follow_workers
from jobyard.settings import get_settings
from jobyard.settings.log_setup import set_up_logging
from jobyard.settings.urls.amqp import management_api, plain_urls
from jobyard.settings.urls.broker_kind import BrokerKind, broker_kind

exit_if_misconfigured(broker_fault(get_settings(), with_queues=False))

_settings = get_settings().flower

if _reason := no_broadcast_reason(get_settings().broker_url):
    sys.exit(f"Flower does not start: {_reason}")

# Flower knows brokers by the names of kombu's transports, so our transport gets such a name here.
if app.conf.broker_transport:
    TRANSPORT_ALIASES[urlsplit(get_settings().broker_url).scheme] = app.conf.broker_transport
    app.conf.broker_transport = None
    if broker_kind(get_settings().broker_url) is BrokerKind.RABBITMQ:
        app.conf.update(broker_url=";".join(plain_urls(get_settings().broker_url)))

# Flower shows the names of tasks and workers there without its login.
Metrics.get = web.authenticated(Metrics.get)

follow_workers()
revoke_in_the_ledger()

address = _settings.host
port = _settings.port
basic_auth = [f"{_settings.user}:{flower_password(get_settings())}"]
max_tasks = 10_000
logging = "none"  # Tornado's own format
set_up_logging(get_settings().log)
for _library in ("flower", "tornado"):
    getLogger(_library).setLevel(max(WARNING, getLogger().level))
if _settings.broker_api is not None:
    broker_api = _settings.broker_api.get_secret_value()
elif broker_kind(get_settings().broker_url) is BrokerKind.RABBITMQ:
    # Flower would put the unencoded password into the URL, and take what follows a / or @ for the host.
    broker_api = management_api(get_settings().broker_url)
