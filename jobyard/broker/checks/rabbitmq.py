"""Checks whether a RabbitMQ accepts the user, the password, the virtual host and the queues."""

from collections.abc import Sequence
from typing import Any, Final

from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, PreconditionFailed
from kombu import Connection
from kombu import Queue as KombuQueue

from jobyard.broker.checks.connection import connection_fault
from jobyard.broker.checks.fault import Fault, answer, away, host_and_port, wrong
from jobyard.broker.checks.redis import ENCODED
from jobyard.broker.checks.wrong_server import RABBITMQ, WantedServer

PORTS: Final = {"amqp": 5672, "amqps": 5671}
# Words in temporary refusals, which have the same code as the refusal of an unknown virtual host.
TEMPORARY: Final = ("limit", "is down")


def rabbitmq_fault(
    url: str, timeout_seconds: float, tls: dict[str, Any] | None, queues: Sequence[KombuQueue] = ()
) -> Fault | None:
    """Return what is wrong with the RabbitMQ of a URL, or None.

    `queues` are declared, as every publisher and consumer does first.
    """
    scheme = url.partition("://")[0]
    wanted = WantedServer(RABBITMQ, *host_and_port(url, PORTS[scheme]), has_tls=scheme == "amqps")
    connection = Connection(url, connect_timeout=timeout_seconds, ssl=tls or False)
    transport: Any = connection.transport
    try:
        established = transport.establish_connection()
    except AccessRefused as error:
        return wrong(
            f"RabbitMQ at {wanted.address} refuses the user {connection.userid!r} with this password "
            f"({answer(error, url)}): mend them in the URL, where {ENCODED}"
        )
    except NotAllowed as error:
        return _not_allowed(answer(error, url), connection.virtual_host, wanted)
    except AMQPError as error:
        return away(f"RabbitMQ at {wanted.address} answers: {answer(error, url)}")
    except Exception as error:  # amqp raises anything when another server answers
        return connection_fault(error, wanted)
    try:
        return _queues_fault(transport.create_channel(established), queues, wanted, url)
    except (AMQPError, OSError) as error:
        return away(f"RabbitMQ at {wanted.address} closed the connection ({answer(error, url)})")
    finally:
        transport.close_connection(established)


def _not_allowed(reason: str, virtual_host: str, wanted: WantedServer) -> Fault:
    if any(word in reason for word in TEMPORARY):
        return away(f"RabbitMQ at {wanted.address} takes no connection now ({reason})")
    return wrong(
        f"RabbitMQ at {wanted.address} does not let this user into the virtual host {virtual_host!r} "
        f"({reason}): mend the end of the URL (nothing after the host means '/'), or make it with "
        "`rabbitmqctl add_vhost` and `rabbitmqctl set_permissions`"
    )


def _queues_fault(channel: Any, queues: Sequence[KombuQueue], wanted: WantedServer, url: str) -> Fault | None:
    # A worker would repeat a refused declaration a hundred times a second.
    try:
        for queue in queues:
            queue(channel).declare()
    except AccessRefused as error:
        return wrong(
            f"RabbitMQ at {wanted.address} does not let this user use Jobyard's queues "
            f"({answer(error, url)}): `rabbitmqctl set_permissions` has to let it configure, write and read "
            "them"
        )
    except PreconditionFailed as error:
        return wrong(
            f"RabbitMQ at {wanted.address} has a queue of this name and another kind "
            f"({answer(error, url)}): give Jobyard a virtual host of its own, or delete the queue; what "
            "waits in it is published again"
        )
    return None
