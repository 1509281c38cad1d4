"""kombu's AMQP transport, guarded so that no message can end a worker."""

from typing import Any, Final

import structlog
from amqp.exceptions import AccessRefused, NotAllowed
from kombu.transport import pyamqp

from jobyard.broker.malformed_messages import guarded_callback

log = structlog.get_logger()

# Errors of the broker, after which the worker connects again.
BROKER_FAULTS: Final[tuple[Any, ...]] = (
    *pyamqp.Transport.connection_errors,
    *pyamqp.Transport.channel_errors,
)


class _AckLog:
    """The logger for messages that cannot be acknowledged any more, which kombu would log as CRITICAL."""

    def critical(self, _template: str, _tag: Any, error: BaseException, **_: Any) -> None:
        log.info("not acknowledged: the message comes again, and claims nothing", reason=repr(error))


class Message(pyamqp.Message):
    """A message whose connection may be lost while its jobs run: their outcomes are in the ledger."""

    def ack_log_error(self, logger: Any, errors: Any, multiple: bool = False) -> None:
        """Overridden so that a lost acknowledgement, which costs nothing, is not CRITICAL."""
        super().ack_log_error(_AckLog(), errors, multiple)

    def reject_log_error(self, logger: Any, errors: Any, requeue: bool = False) -> None:
        """Overridden as `ack_log_error`."""
        super().reject_log_error(_AckLog(), errors, requeue)


class Channel(pyamqp.Channel):
    """A channel to RabbitMQ that survives any message."""

    Message = Message

    def basic_consume(  # type: ignore[override]  # Celery passes keywords only
        self, *, no_ack: bool = False, callback: Any = None, **options: Any
    ) -> str:
        """Overridden so that malformed messages, and messages that Celery fails on, are dropped."""
        safe = callback if no_ack else guarded_callback(callback, BROKER_FAULTS, self.message_to_python)
        return super().basic_consume(no_ack=no_ack, callback=safe, **options)


class Connection(pyamqp.Connection):
    """A connection with guarded channels, whose reads time out after the broker's longest time to answer."""

    Channel = Channel

    def connect(self, callback: Any = None) -> Any:
        """Overridden so that a silent RabbitMQ raises an error; py-amqp would wait for an answer forever.

        py-amqp's own `read_timeout` is a socket option, and after it py-amqp reads again. Reads on a readable
        socket never wait, with or without this timeout.
        """
        answer = super().connect(callback)
        self.transport.sock.settimeout(self.connect_timeout)
        return answer


class Transport(pyamqp.Transport):
    """kombu's AMQP transport with guarded channels, which treats a refused login as a broker that is away.

    A password or a virtual host may be mended while a worker runs. So the worker tries again after a pause
    and at the next node, where kombu would try the same node several times a second.
    """

    Connection = Connection
    recoverable_connection_errors = (
        *pyamqp.Transport.recoverable_connection_errors,
        AccessRefused,
        NotAllowed,
    )
