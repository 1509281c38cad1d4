"""What docker-compose.yml promises: every queue served, every setting real, nothing open by accident."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from redbeat.schedulers import RedBeatConfig

from jobyard.broker.celery_app import app
from jobyard.local.processes import local_processes
from jobyard.settings import load_settings
from jobyard.settings.__main__ import setting_rows
from jobyard.settings.queues import QueueKind
from jobyard.settings.settings import settings_class

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = {"api", "worker-io", "worker-cpu", "beat", "flower", "migrate"}
WORKERS = {"worker-io", "worker-cpu"}
SECRETS = {
    "JOBYARD_API__KEYS": "key",
    "JOBYARD_FLOWER__PASSWORD": "secret",
    "JOBYARD_SMTP__URL": "smtp://mail.example.org:25",
    "POSTGRES_PASSWORD": "p@ss/word:1",
}
# Settings of SQLite and of what `make run` alone starts.
NOT_IN_CONTAINERS = {
    *("JOBYARD_LEDGER__BUSY_TIMEOUT", "JOBYARD_VALKEY__PORT", "JOBYARD_MAILBOX__PORT"),
    *("JOBYARD_TASKS__EAGER", "JOBYARD_TASKS__EAGER_PROPAGATES"),
}
PROFILES = pytest.mark.parametrize("profile", [(), ("--profile", "rabbitmq")], ids=["redis", "rabbitmq"])


def filled_in(text: str) -> str:
    """Return a value as Compose makes it of the secrets alone."""

    def value(match: re.Match[str]) -> str:
        name, sign, words = match.groups()
        return SECRETS.get(name) or (words if sign == "-" else "")

    return re.sub(r"\$\{(\w+)(?::([-?])([^}]*))?\}", value, text)


def environment(service: str) -> dict[str, str]:
    given: dict[str, Any] = SERVICES[service]["environment"]
    return {name: filled_in(str(value)) for name, value in given.items() if value is not None}


def option(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


def command_of_make_run(name: str) -> list[str]:
    return next(list(one.command) for one in local_processes(load_settings(), []) if one.name == name)


def test_there_is_a_service_for_every_part_of_the_yard() -> None:
    assert SERVICES.keys() == OURS | {"redis", "postgres", "rabbitmq"}
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["rabbitmq"]


def test_every_kind_of_queue_is_served_by_some_worker() -> None:
    assert {option(SERVICES[name]["command"], "--kind") for name in WORKERS} == set(QueueKind)


@pytest.mark.parametrize("name", sorted(OURS - {"migrate"}))
def test_a_service_is_the_process_that_make_run_starts(name: str) -> None:
    _python, _, module, *arguments = command_of_make_run(name)
    assert SERVICES[name]["command"] == [module, *arguments]


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_a_worker_can_be_scaled(name: str) -> None:
    assert not {"container_name", "hostname", "ports"} & SERVICES[name].keys()
    # Its name ends in that of its container.
    assert "-n" not in SERVICES[name]["command"]


def test_every_variable_with_our_prefix_is_a_setting() -> None:
    settings = {variable for variable, _, _ in setting_rows(settings_class()())}
    assert set(re.findall(r"JOBYARD_[A-Z_]+", TEXT)) - settings == set()


def test_every_setting_can_be_given_to_the_services_that_read_it() -> None:
    settings = {variable for variable, _, _ in setting_rows(settings_class()())} - NOT_IN_CONTAINERS
    for service, section in {"api": "API", "flower": "FLOWER", "worker-io": "SMTP"}.items():
        own = {variable for variable in settings if variable.startswith(f"JOBYARD_{section}__")}
        assert own - SERVICES[service]["environment"].keys() == set()
        settings -= own
    for service in OURS:
        assert settings - SERVICES[service]["environment"].keys() == set(), service


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_service_starts_with_the_settings_it_is_given(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # away from any .env
    monkeypatch.setattr(os, "environ", environment(name))
    settings = load_settings()
    assert settings.ledger_url.startswith("postgresql+psycopg://jobyard@postgres")
    assert settings.broker_url == settings.redis_url == "redis://redis:6379/0"
    assert Path(settings.files_url.removeprefix("file://")).is_relative_to(settings.home)


def test_only_the_processes_that_need_a_secret_get_it() -> None:
    given = {name: {secret for secret in SECRETS if secret in environment(name)} for name in OURS}
    assert {name: secrets for name, secrets in given.items() if secrets} == {
        "api": {"JOBYARD_API__KEYS"},
        "flower": {"JOBYARD_FLOWER__PASSWORD"},
        "worker-io": {"JOBYARD_SMTP__URL"},
    }


def test_everything_that_stays_has_a_health_check() -> None:
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == {"migrate"}


def test_the_ledger_is_migrated_before_anything_touches_it() -> None:
    for name in OURS - {"migrate"}:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["migrate"]["restart"] == "no"


def test_other_peoples_images_are_pinned_to_a_release() -> None:
    images = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    images += re.findall(r"^FROM (\S+:\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert [image for image in images if not re.fullmatch(r"\w+:\d+\.\d+(\.\d+)?(-[a-z]+)*", image)] == []


def test_nothing_is_published_beyond_this_machine_unless_told() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == {"api", "flower"}
    assert all(filled_in(port).startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_redis_keeps_what_it_has_and_evicts_nothing() -> None:
    command = SERVICES["redis"]["command"]
    assert option(command, "--appendonly") == "yes"
    assert option(command, "--maxmemory-policy") == "noeviction"


def test_the_health_of_beat_is_read_from_redbeats_own_lock() -> None:
    assert f'"{RedBeatConfig(app).lock_key}"' in SERVICES["beat"]["healthcheck"]["test"][-1]


def test_celery_finds_our_modules_in_the_image() -> None:
    # Its script lies in /venv/bin, and what it imports later than the app is looked for on the path alone.
    assert re.search(r"^ENV .*\bPYTHONPATH=/app\b", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_the_image_runs_as_nobody_special_and_holds_no_secrets() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text().splitlines()
    assert [line for line in dockerfile if line.startswith("USER")][-1] == "USER jobyard"
    assert {".env", ".git", "var"} <= set((ROOT / ".dockerignore").read_text().splitlines())


def compose(*arguments: str, given: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run `docker compose` on our file with these variables and no others."""
    if not _has_compose():
        pytest.skip("there is no `docker compose` here to read the file")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in os.environ}
    return subprocess.run(
        ["docker", "compose", "--env-file", os.devnull, *arguments],
        cwd=ROOT,
        env=kept | given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _has_compose() -> bool:
    if not shutil.which("docker"):
        return False
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=60, check=False)
    return asked.returncode == 0


@PROFILES
def test_compose_accepts_the_file(profile: tuple[str, ...]) -> None:
    done = compose(*profile, "config", "--quiet", given=SECRETS)
    assert (done.returncode, done.stderr) == (0, "")


def test_compose_accepts_the_file_of_the_example_of_a_product() -> None:
    given = {"POSTGRES_PASSWORD": "secret", "JOBYARD_FLOWER__PASSWORD": "secret"}
    done = compose("--file", "examples/shop/docker-compose.yml", "config", "--quiet", given=given)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_compose_names_a_secret_that_is_missing(name: str) -> None:
    done = compose("config", "--quiet", given=SECRETS | {name: ""})
    assert done.returncode != 0
    assert re.search(rf"put .* into \.env as {name}=", done.stderr)


def test_compose_passes_a_setting_on_and_leaves_out_what_is_not_set() -> None:
    done = compose("config", "--format", "json", given=SECRETS | {"JOBYARD_LOG__LEVEL": "DEBUG"})
    given = json.loads(done.stdout)["services"]["worker-cpu"]["environment"]
    assert given["JOBYARD_LOG__LEVEL"] == "DEBUG"
    assert given["JOBYARD_TASKS__MODULES"] is None
