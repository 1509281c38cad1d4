"""The command `jobyard`: each subcommand loads what it needs, when it is called."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Final

from jobyard.cli.extras import exit_without_extra

OLDEST_PYTHON: Final = (3, 11)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand; ends the program with a sentence for what is wrong."""
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"Jobyard needs Python 3.11 or newer, and this is {sys.version.split()[0]}")
    # A console script has its own folder on the path, and not the one in which it is called.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    options, rest = _parser().parse_known_args(arguments)
    if rest and not options.takes_more:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    options.run(options, rest)


Run = Callable[[argparse.Namespace, list[str]], None]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("jobyard", description="A job service on Celery.")
    parser.add_argument("--version", action="version", version=f"jobyard {version('jobyard')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Run, help: str, *, takes_more: bool = False) -> argparse.ArgumentParser:
        # Where Celery has options of its own, --help is for Celery to answer as well.
        found = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        found.set_defaults(run=run, takes_more=takes_more)
        return found

    run = command("run", _run, "Start everything on this machine, with an embedded broker, until Ctrl-C")
    run.add_argument("--reload", action="store_true", help="start API, workers and beat again after an edit")
    command("api", _api, "Serve the HTTP API")
    worker = command(
        "worker", _worker, "Run jobs; options that are not listed here are Celery's", takes_more=True
    )
    worker.add_argument(
        "--kind",
        choices=("threads", "prefork"),
        default="threads",
        help="serve all queues of this kind: threads (default) for work that waits, prefork for computing",
    )
    worker.add_argument("-Q", "--queues", help="serve these queues alone, with commas between them")
    worker.add_argument("-c", "--concurrency", type=int, help="threads, or child processes")
    worker.add_argument("-n", "--hostname", help="the worker's name; default io@%%h, or cpu@%%h for prefork")
    command("beat", _celery("beat"), "Run the schedules; options are Celery's", takes_more=True)
    command("flower", _flower, "Serve the Flower dashboard; options are Flower's", takes_more=True)
    command("keeper", _keeper, "Run a keeper by itself: every worker has one as well")
    command("migrate", _migrate, "Bring the ledger of JOBYARD_LEDGER__URL to this version")
    command("config", _config, "Show every setting as it is now")
    command(
        "move-broker",
        _move_broker,
        "Move what waits from another broker to that of JOBYARD_BROKER__URL",
        takes_more=True,
    )
    return parser


def _run(options: argparse.Namespace, _: list[str]) -> None:
    exit_without_extra("run", "api", "worker", "local")
    from jobyard.local.run import main as run

    run(reload=options.reload)


def _api(_: argparse.Namespace, __: list[str]) -> None:
    exit_without_extra("api", "api")
    from jobyard.http.server import main as serve

    serve()


def _worker(options: argparse.Namespace, rest: list[str]) -> None:
    exit_without_extra("worker", "worker")
    from jobyard.cli.worker import worker_arguments

    _run_celery(worker_arguments(options.kind, options.queues, options.concurrency, options.hostname, rest))


def _celery(name: str) -> Run:
    def run(_: argparse.Namespace, rest: list[str]) -> None:
        exit_without_extra(name, "worker", "redis")
        _run_celery([name, *rest])

    return run


def _flower(_: argparse.Namespace, rest: list[str]) -> None:
    exit_without_extra("flower", "flower")
    from jobyard.broker import flower

    _run_celery(["flower", f"--conf={flower.__file__}", *rest])


def _run_celery(arguments: Sequence[str]) -> None:
    # By this name Celery finds its application: `jobyard/worker/entry.py`.
    from celery.bin.celery import celery

    celery.main(["-q", "-A", "jobyard", *arguments], prog_name="jobyard", auto_envvar_prefix="CELERY")


def _keeper(_: argparse.Namespace, __: list[str]) -> None:
    exit_without_extra("keeper", "worker")
    from jobyard.worker.keeper_thread import main as keep

    keep()


def _migrate(_: argparse.Namespace, __: list[str]) -> None:
    exit_without_extra("migrate", "worker")
    from jobyard.jobs.database.migrate import main as migrate

    migrate()


def _config(_: argparse.Namespace, __: list[str]) -> None:
    from jobyard.settings.__main__ import main as show

    show()


def _move_broker(_: argparse.Namespace, rest: list[str]) -> None:
    exit_without_extra("move-broker", "worker")
    from jobyard.cli.move_broker import main as move

    sys.argv = ["jobyard move-broker", *rest]
    move()
