"""Asks a RabbitMQ whether it takes the user, the password and the virtual host of a URL."""

from typing import Any, Final

from amqp.exceptions import AccessRefused, AMQPError, NotAllowed
from kombu import Connection

from config.checks.connecting import connection_fault
from config.checks.faults import Fault, answer, away, place, wrong
from config.checks.redis_server import ENCODED
from config.checks.strangers import Wanted
from config.checks.who_answers import RABBITMQ

PORTS: Final = {"amqp": 5672, "amqps": 5671}
# Said with the same number as a virtual host that there is not.
PASSING: Final = ("limit", "is down")


def rabbitmq_fault(url: str, patience: float, tls: Any = False) -> Fault | None:
    """Return what is the matter with the RabbitMQ of a URL, or None where it answers as it should."""
    scheme = url.partition("://")[0]
    wanted = Wanted(RABBITMQ, *place(url, PORTS[scheme]), has_tls=scheme == "amqps")
    connection = Connection(url, connect_timeout=patience, ssl=tls)
    transport: Any = connection.transport
    try:
        transport.close_connection(transport.establish_connection())
    except AccessRefused as error:
        return wrong(
            f"RabbitMQ at {wanted.at} refuses the user {connection.userid!r} with this password "
            f"({answer(error, url)}): mend them in the URL, where {ENCODED}"
        )
    except NotAllowed as error:
        return _not_allowed(answer(error, url), connection.virtual_host, wanted)
    except AMQPError as error:
        return away(f"RabbitMQ at {wanted.at} answers: {answer(error, url)}")
    except Exception as error:  # amqp raises whatever its reading of a stranger's words comes to
        return connection_fault(error, wanted)
    return None


def _not_allowed(said: str, virtual_host: str, wanted: Wanted) -> Fault:
    if any(word in said for word in PASSING):
        return away(f"RabbitMQ at {wanted.at} takes no connection now ({said})")
    return wrong(
        f"RabbitMQ at {wanted.at} does not let this user into the virtual host {virtual_host!r} ({said}): "
        "mend the end of the URL (nothing after the host means '/'), or make it with "
        "`rabbitmqctl add_vhost` and `rabbitmqctl set_permissions`"
    )
