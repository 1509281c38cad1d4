"""A RabbitMQ of the tests' own: a private node, up in 3 s, and told what to do by `erl_call` in 10 ms.

It shares nothing with a RabbitMQ that the machine may run: it has ports, files, a cookie and a port mapper
of its own, and needs no right that whoever runs the tests has not.
"""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.support.children import start_child
from tests.support.processes import answers, free_port
from tests.support.waiting import wait_until

_COOKIE = "JOBYARDTESTS"
# Debian's `rabbitmq-server` changes to another user, and refuses whoever is neither that one nor root.
_ELSEWHERE = ("/usr/lib/rabbitmq/bin", "/usr/lib/erlang/bin", "/usr/sbin")


def _program(name: str) -> str | None:
    path = os.pathsep.join([*_ELSEWHERE[:2], os.environ.get("PATH", os.defpath), _ELSEWHERE[2]])
    return shutil.which(name, path=path)


def missing_programs() -> list[str]:
    """Return which of the programs of a RabbitMQ are not installed."""
    return [name for name in ("rabbitmq-server", "epmd", "erl_call") if _program(name) is None]


def require_rabbitmq() -> None:
    """Skip the test where no RabbitMQ is installed; fail it where `CI` says that one has to be."""
    if missing := missing_programs():
        reason = f"RabbitMQ is not installed: there is no {' and no '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@dataclass
class RabbitMQNode:
    """A node in a folder; `advanced` is what its `advanced.config` says of the application `rabbit`."""

    home: Path
    advanced: str = ""
    port: int = field(default_factory=free_port)
    _port_mapper_port: int = field(default_factory=free_port)
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it with what its disk remembers, and wait until it has booted."""
        self._port_mapper  # noqa: B018 (starts it)
        with (self.home / "node.log").open("ab") as log:
            self._process = start_child(
                [_program("rabbitmq-server") or ""],
                env=self._environment | {"RABBITMQ_DIST_PORT": str(free_port())},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        process = self._process
        wait_until(lambda: answers(self.port) or process.poll() is not None, 60, "RabbitMQ to answer")
        assert process.poll() is None, self.log()
        wait_until(self._has_booted, 30, "RabbitMQ to be told something")

    @property
    def process_id(self) -> int | None:
        is_running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and is_running else None

    @property
    def is_running(self) -> bool:
        return self.process_id is not None

    def tell(self, expression: str) -> str:
        """Let the node compute an Erlang expression; return the value as Erlang writes it."""
        # Under a name of its own each time: the node may still know the last caller by the usual one.
        command = [_program("erl_call") or "", "-r", "-n", self._name, "-c", _COOKIE, "-e"]
        told = subprocess.run(
            command,
            input=f"{expression}.\n",
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=30,
        )
        outcome, _, value = told.stdout.removeprefix("{").removesuffix("}").partition(", ")
        assert outcome == "ok", f"{expression}: {told.stdout}{told.stderr}"
        return value

    def _has_booted(self) -> bool:
        with suppress(AssertionError):
            self.tell("rabbit:await_startup()")
            return True
        return False

    def kill(self, with_signal: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the node and what it started, and wait for its end when it is a KILL."""
        if self._process is None or self._process.poll() is not None:
            return
        os.killpg(self._process.pid, with_signal)
        if with_signal is signal.SIGKILL:
            self._process.wait(10)

    def stop(self) -> None:
        """End the node as an operator would."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)

    def close(self) -> None:
        self.kill()
        self._port_mapper.kill()
        self._port_mapper.wait(10)

    def log(self) -> str:
        return (self.home / "node.log").read_text(errors="replace")[-3000:]

    @cached_property
    def _port_mapper(self) -> "subprocess.Popen[bytes]":
        command = [_program("epmd") or "", "-port", str(self._port_mapper_port), "-address", "127.0.0.1"]
        quiet = subprocess.DEVNULL
        process = start_child(command, env=self._environment, stdin=quiet, stdout=quiet, stderr=quiet)
        wait_until(lambda: answers(self._port_mapper_port), 10, "Erlang's port mapper")
        return process

    @property
    def _name(self) -> str:
        return f"jobyard-tests-{self.port}@localhost"

    @cached_property
    def _environment(self) -> dict[str, str]:
        self.home.mkdir(exist_ok=True)
        files = {
            "rabbitmq.conf": f"listeners.tcp.1 = 127.0.0.1:{self.port}\nloopback_users = none\n",
            "advanced.config": f"[{{rabbit, [{self.advanced}]}}].\n",
            "enabled_plugins": "[].\n",
            "rabbitmq-env.conf": "",
            ".erlang.cookie": _COOKIE,
        }
        for name, text in files.items():
            with suppress(FileExistsError):
                (self.home / name).touch(0o600, exist_ok=False)
                (self.home / name).write_text(text)
        (self.home / ".erlang.cookie").chmod(0o600)
        places: dict[str, Any] = {
            "HOME": self.home,
            "RABBITMQ_CONF_ENV_FILE": self.home / "rabbitmq-env.conf",
            "RABBITMQ_CONFIG_FILE": self.home / "rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": self.home / "advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.home / "enabled_plugins",
            "RABBITMQ_FEATURE_FLAGS_FILE": self.home / "feature_flags",
            "RABBITMQ_GENERATED_CONFIG_DIR": self.home / "generated",
            "RABBITMQ_MNESIA_BASE": self.home / "mnesia",
            "RABBITMQ_LOG_BASE": self.home / "log",
            "RABBITMQ_NODE_PORT": self.port,
            "ERL_EPMD_PORT": self._port_mapper_port,
        }
        inherited = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        return (
            inherited
            | {name: str(value) for name, value in places.items()}
            | {
                "RABBITMQ_NODENAME": self._name,
                "RABBITMQ_LOGS": "-",
                # One process, which a signal reaches, and no shell in front of it.
                "RABBITMQ_ALLOW_INPUT": "1",
                "RABBITMQ_SERVER_START_ARGS": "-noinput",
                "ERL_EPMD_ADDRESS": "127.0.0.1",
                "ERL_FLAGS": "-kernel inet_dist_use_interface {127,0,0,1}",
                "ERL_CRASH_DUMP_SECONDS": "0",
                "LANG": "C.UTF-8",
            }
        )
