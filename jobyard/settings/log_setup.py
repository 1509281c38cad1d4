"""Sets up logging: one line for each event, of our code and of libraries, on the console or as JSON."""

import logging
import sys
from typing import Any

import structlog

from jobyard.settings.sections import LogSettings

_SHARED: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
_NOISY = (
    *("httpx", "httpcore", "asyncio", "alembic", "kombu", "amqp", "mail.log"),
    # Our own line says how a job ended; these loggers would repeat it twice.
    *("celery.worker.strategy", "celery.app.trace"),
)


def set_up_logging(settings: LogSettings) -> None:
    """Send every log record of this process to standard output, rendered as the settings say."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(settings)],
        )
    )
    # A task may have closed the stream, and a record that cannot be written must not fail the caller.
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.level)),
        cache_logger_on_first_use=True,
    )


def use_host_logging() -> None:
    """Send our log records to `logging`, in a host program that submits jobs.

    The host program decides what becomes of them; `structlog` alone would print them into its output.
    """
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _renderers(settings: LogSettings) -> list[Any]:
    if settings.format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(),
            pad_event_to=40,
            # The default one prints every frame's variables: payloads and keys, a megabyte for one fault.
            exception_formatter=structlog.dev.plain_traceback,
        )
    ]
