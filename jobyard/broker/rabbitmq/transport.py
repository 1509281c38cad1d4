"""kombu's AMQP transport, less the ways in which a message can take a worker down."""

from typing import Any, Final

from amqp.exceptions import AccessRefused, NotAllowed
from kombu.transport import pyamqp

from jobyard.broker.malformed_messages import guarded

# What is about the broker, and answered by connecting again.
BROKER_FAULTS: Final[tuple[Any, ...]] = (
    *pyamqp.Transport.connection_errors,
    *pyamqp.Transport.channel_errors,
)


class Channel(pyamqp.Channel):
    """A channel to RabbitMQ that outlives what it reads there."""

    def basic_consume(  # type: ignore[override]  # Celery names what it says
        self, *, no_ack: bool = False, callback: Any = None, **options: Any
    ) -> str:
        """Overridden for what is wrong with a message, or goes wrong when Celery takes it."""
        safe = callback if no_ack else guarded(callback, BROKER_FAULTS, self.message_to_python)
        return super().basic_consume(no_ack=no_ack, callback=safe, **options)


class Connection(pyamqp.Connection):
    """A connection with channels of ours, which nobody waits for longer than the broker's time to answer."""

    Channel = Channel

    def connect(self, callback: Any = None) -> Any:
        """Overridden so that a silent RabbitMQ is an error; py-amqp waits for its answers without end.

        Its own `read_timeout` is the kernel's, after which it asks the kernel again. What is read when
        there is something to read waits for nothing, before and after.
        """
        answer = super().connect(callback)
        self.transport.sock.settimeout(self.connect_timeout)
        return answer


class Transport(pyamqp.Transport):
    """kombu's AMQP transport with channels of ours, for which a refusal is a broker that is away.

    A password or a virtual host may be mended while a worker runs: so it tries again with pauses, and at the
    next node, where kombu would try the same one several times a second.
    """

    Connection = Connection
    recoverable_connection_errors = (
        *pyamqp.Transport.recoverable_connection_errors,
        AccessRefused,
        NotAllowed,
    )
