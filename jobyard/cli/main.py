"""The command `jobyard`; each subcommand imports what it needs when it runs."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec

from jobyard import check_python


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand; ends the program with a sentence if something is wrong."""
    try:
        check_python()
    except ImportError as error:
        sys.exit(str(error))
    # A console script has its own folder on the path, and not the working directory.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    options, extra_arguments = _parser().parse_known_args(arguments)
    if extra_arguments and not options.takes_extra:
        _parser().error(f"unrecognized arguments: {' '.join(extra_arguments)}")
    try:
        options.run(options, extra_arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # What reads the output has seen enough, like `head`; Python would write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        # Imported here, because the supervisor of `jobyard run` stays in this process and loads no library.
        from jobyard.settings.errors import SettingsError

        if not isinstance(error, SettingsError):
            raise
        sys.exit(str(error))


Run = Callable[[argparse.Namespace, list[str]], None]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("jobyard", description="A job service on Celery.")
    parser.add_argument("--version", action="version", version=f"jobyard {version('jobyard')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(
        name: str, run: Run, help: str, *, takes_extra: bool = False, epilog: str | None = None
    ) -> argparse.ArgumentParser:
        # A command that takes options of another program leaves --help to it, unless it has some of its own.
        add_help = not takes_extra or epilog is not None
        subparser = commands.add_parser(
            name, help=help, description=help, epilog=epilog, add_help=add_help, allow_abbrev=False
        )
        subparser.set_defaults(run=run, takes_extra=takes_extra)
        return subparser

    run = command("run", _run, "Start everything on this machine, with an embedded broker, until Ctrl-C")
    run.add_argument("--reload", action="store_true", help="start API, workers and beat again after an edit")
    run.add_argument(
        "--end-with-parent", action="store_true", help="stop when the process that has started this one ends"
    )
    command("api", _api, "Serve the HTTP API")
    others = "Other options are Celery's: see `celery worker --help`."
    worker = command("worker", _worker, "Run jobs", takes_extra=True, epilog=others)
    worker.add_argument(
        "--kind",
        choices=("threads", "prefork"),
        default="threads",
        help="serve all queues of this kind: threads (default) for work that waits, prefork for computing",
    )
    worker.add_argument("-Q", "--queues", help="serve only these queues, separated by commas")
    worker.add_argument("-c", "--concurrency", type=int, help="threads, or child processes")
    worker.add_argument("-n", "--hostname", help="the worker's name; default io@%%h, or cpu@%%h for prefork")
    command("beat", _celery("beat"), "Run the schedules", takes_extra=True)
    command("flower", _flower, "Serve the Flower dashboard", takes_extra=True)
    command("keeper", _keeper, "Run only a keeper; every worker runs one as well")
    command("migrate", _migrate, "Bring the ledger of JOBYARD_LEDGER__URL to this version")
    command("config", _config, "Show every setting as it is now")
    command(
        "move-broker",
        _move_broker,
        "Move waiting jobs from another broker to that of JOBYARD_BROKER__URL",
        takes_extra=True,
    )
    command(
        "celery-check",
        _celery_check,
        "Say what of a Celery code base moves here by its imports",
        takes_extra=True,
    )
    return parser


def _run(options: argparse.Namespace, _: list[str]) -> None:
    from jobyard.local.run import main as run

    run(reload=options.reload, ends_with_parent=options.end_with_parent)


def _api(_: argparse.Namespace, __: list[str]) -> None:
    _exit_without_extras("api", "api")
    from jobyard.http.server import main as serve

    serve()


def _worker(options: argparse.Namespace, extra_arguments: list[str]) -> None:
    _exit_without_extras("worker", "worker")
    from jobyard.cli.worker import worker_arguments

    _run_celery(
        worker_arguments(options.kind, options.queues, options.concurrency, options.hostname, extra_arguments)
    )


def _celery(name: str) -> Run:
    def run(_: argparse.Namespace, extra_arguments: list[str]) -> None:
        _exit_without_extras(name, "worker", "redis")
        _run_celery([name, *extra_arguments])

    return run


def _flower(_: argparse.Namespace, extra_arguments: list[str]) -> None:
    _exit_without_extras("flower", "flower")
    # Located and not imported, because Flower runs this file.
    conf = find_spec("jobyard.broker.flower")
    assert conf is not None
    _run_celery(["flower", f"--conf={conf.origin}", *extra_arguments])


def _run_celery(arguments: Sequence[str]) -> None:
    # Celery finds its application under this name: `jobyard/worker/entry.py`.
    from celery.bin.celery import celery

    celery.main(["-q", "-A", "jobyard", *arguments], prog_name="jobyard", auto_envvar_prefix="CELERY")


def _keeper(_: argparse.Namespace, __: list[str]) -> None:
    _exit_without_extras("keeper", "worker")
    from jobyard.worker.keeper_thread import main as keep

    keep()


def _migrate(_: argparse.Namespace, __: list[str]) -> None:
    _exit_without_extras("migrate", "worker", broker=False)
    from jobyard.jobs.database.migrate import main as migrate

    migrate()


def _config(_: argparse.Namespace, __: list[str]) -> None:
    from jobyard.settings.__main__ import main as show

    show()


def _move_broker(_: argparse.Namespace, extra_arguments: list[str]) -> None:
    _exit_without_extras("move-broker", "worker")
    from jobyard.cli.move_broker import main as move

    move(extra_arguments)


def _celery_check(_: argparse.Namespace, extra_arguments: list[str]) -> None:
    from jobyard.celery_check.command import main as check

    check(extra_arguments)


def _exit_without_extras(command: str, *extras: str, broker: bool = True) -> None:
    from jobyard.settings import get_settings
    from jobyard.settings.extras import broker_extras, ledger_extras, missing_extras_fault

    # All are named at once, with those that the settings need.
    settings = get_settings()
    needed = dict.fromkeys((*extras, *ledger_extras(settings), *(broker_extras(settings) if broker else [])))
    if fault := missing_extras_fault(f"`jobyard {command}`", list(needed)):
        sys.exit(fault)
