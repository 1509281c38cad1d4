"""Asks a RabbitMQ whether it takes the user, the password, the virtual host and the queues of the yard."""

from collections.abc import Sequence
from typing import Any, Final

from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, PreconditionFailed
from kombu import Connection
from kombu import Queue as KombuQueue

from jobyard.broker.checks.connection import connection_fault
from jobyard.broker.checks.fault import Fault, answer, away, place, wrong
from jobyard.broker.checks.redis import ENCODED
from jobyard.broker.checks.wrong_server import RABBITMQ, Wanted

PORTS: Final = {"amqp": 5672, "amqps": 5671}
# Said with the same number as a virtual host that there is not.
PASSING: Final = ("limit", "is down")


def rabbitmq_fault(
    url: str, patience: float, tls: dict[str, Any] | None, queues: Sequence[KombuQueue] = ()
) -> Fault | None:
    """Return what is the matter with the RabbitMQ of a URL, or None where it answers as it should.

    `queues` are declared there, as whoever publishes or consumes does first of all.
    """
    scheme = url.partition("://")[0]
    wanted = Wanted(RABBITMQ, *place(url, PORTS[scheme]), has_tls=scheme == "amqps")
    connection = Connection(url, connect_timeout=patience, ssl=tls or False)
    transport: Any = connection.transport
    try:
        established = transport.establish_connection()
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
    try:
        return _queues_fault(transport.create_channel(established), queues, wanted, url)
    except (AMQPError, OSError) as error:
        return away(f"RabbitMQ at {wanted.at} hung up ({answer(error, url)})")
    finally:
        transport.close_connection(established)


def _not_allowed(said: str, virtual_host: str, wanted: Wanted) -> Fault:
    if any(word in said for word in PASSING):
        return away(f"RabbitMQ at {wanted.at} takes no connection now ({said})")
    return wrong(
        f"RabbitMQ at {wanted.at} does not let this user into the virtual host {virtual_host!r} ({said}): "
        "mend the end of the URL (nothing after the host means '/'), or make it with "
        "`rabbitmqctl add_vhost` and `rabbitmqctl set_permissions`"
    )


def _queues_fault(channel: Any, queues: Sequence[KombuQueue], wanted: Wanted, url: str) -> Fault | None:
    # A worker would try to declare them again and again, a hundred times a second.
    try:
        for queue in queues:
            queue(channel).declare()
    except AccessRefused as error:
        return wrong(
            f"RabbitMQ at {wanted.at} does not let this user have the yard's queues ({answer(error, url)}): "
            "`rabbitmqctl set_permissions` has to let it configure, write and read them"
        )
    except PreconditionFailed as error:
        return wrong(
            f"RabbitMQ at {wanted.at} has a queue of this name and another kind ({answer(error, url)}): give "
            "the yard a virtual host of its own, or delete the queue; what waits in it is published again"
        )
    return None
