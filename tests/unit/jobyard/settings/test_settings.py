"""Settings: read from the environment and a .env file, and every wrong one refused in one message."""

import os
import re
import subprocess
import sys
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jobyard.local.processes import needs_valkey
from jobyard.settings.sections import ApiSettings, KeeperSettings, LedgerSettings, WorkerSettings
from jobyard.settings.settings import (
    ENV_PREFIX,
    Settings,
    SettingsError,
    is_loopback,
    load_settings,
    settings_class,
)
from tests.support.processes import ROOT

UNKNOWN = "there is no such setting"


@pytest.fixture(autouse=True)
def _a_bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the settings as these variables set them."""

    def load(**variables: str) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(f"{ENV_PREFIX}{name}", value)
        return load_settings()

    return load


@pytest.fixture
def refused(loaded: Any) -> Any:
    """Return the lines of the message with which these variables are refused."""

    def load(**variables: str) -> list[str]:
        with pytest.raises(SettingsError) as error:
            loaded(**variables)
        title, *lines = str(error.value).splitlines()
        assert title == "These settings are wrong:"
        assert all(line.startswith("  - ") for line in lines)
        return [line.removeprefix("  - ") for line in lines]

    return load


def test_everything_has_a_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert (settings.api.host, settings.api.port, settings.flower.port) == ("127.0.0.1", 8000, 5555)
    assert settings.ledger_url == f"sqlite:///{Path('var').absolute()}/jobyard.db"
    assert settings.broker_url == settings.redis_url == "redis://127.0.0.1:6399/0"
    assert not Path("var").exists()
    assert settings.files_url == (Path("var").absolute() / "files").as_uri()


def test_settings_are_read_from_the_environment(loaded: Any) -> None:
    settings = loaded(
        API__PORT="8080",
        API__KEYS="one, two,",
        TASKS__MODULES="shop.jobs, other",
        WORKER__LEASE="PT1M",
        COLLECT__ALLOW="10.0.0.0/8,127.0.0.1:80",
        LOG__FORMAT="json",
    )
    assert settings.api.port == 8080
    assert [key.get_secret_value() for key in settings.api.keys] == ["one", "two"]
    assert settings.tasks.modules == ("shop.jobs", "other")
    assert settings.worker.lease == timedelta(minutes=1)
    assert [str(place) for place in settings.collect.allow] == ["10.0.0.0/8", "127.0.0.1/32:80"]
    assert settings.collect.allow[0].network == ip_network("10.0.0.0/8")


def test_the_case_of_a_name_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("jobyard_api__port", "8111")
    assert load_settings().api.port == 8111


def test_an_empty_variable_counts_as_not_set(loaded: Any) -> None:
    settings = loaded(HOME="", API__PORT="", API__KEYS="", LEDGER__URL="")
    assert settings == settings_class()()
    assert settings.home == Path("var")


def test_a_file_called_env_is_read_and_the_environment_goes_before_it(loaded: Any, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("JOBYARD_API__PORT=8001\nJOBYARD_FLOWER__PORT=8002\nOTHER_PROGRAM=1\n")
    settings = loaded(API__PORT="8003")
    assert (settings.api.port, settings.flower.port) == (8003, 8002)


def test_a_wrong_line_of_that_file_is_named_as_well(tmp_path: Path, refused: Any) -> None:
    (tmp_path / ".env").write_text("JOBYARD_PROT=1\nJOBYARD_API__PROT=1\nJOBYARD_API__PORT=x\n")
    assert [line.partition(":")[0] for line in refused()] == [
        "JOBYARD_PROT",
        "JOBYARD_API__PROT",
        "JOBYARD_API__PORT",
    ]


def test_every_wrong_setting_is_named_in_one_message(refused: Any) -> None:
    lines = refused(
        PROT="1",
        API__PROT="1",
        API__HOST="0.0.0.0",
        KEEPER__BATCH="many",
        MAILBOX__PORT="70000",
        VALKEY__PORT="7000",
        FLOWER__PORT="7000",
        WORKER__LEASE="1",
        BROKER__URL="http://user:secret@example.org",
        LEDGER__URL="mysql://user:secret@example.org/x",
        FILES__URL="ftp://user:secret@example.org",
        SMTP__URL="http://user:secret@example.org",
        TASKS__MODULES="a-b,ok",
        COLLECT__ALLOW="nowhere",
        LOG__LEVEL="LOUD",
    )
    assert {line.partition(":")[0].partition(" ")[0].removeprefix(ENV_PREFIX) for line in lines} == {
        *("PROT", "API__PROT", "API__HOST", "KEEPER__BATCH", "MAILBOX__PORT", "VALKEY__PORT"),
        *("WORKER__LEASE", "BROKER__URL", "LEDGER__URL", "FILES__URL", "SMTP__URL"),
        *("TASKS__MODULES", "COLLECT__ALLOW", "LOG__LEVEL"),
    }
    assert len(lines) == 14
    assert "secret" not in "".join(lines)
    assert f"{ENV_PREFIX}VALKEY__PORT and {ENV_PREFIX}FLOWER__PORT are both 7000: change one of them" in lines
    assert any("MAILBOX__PORT: Input should be less than or equal to 65535" in line for line in lines)


@pytest.mark.parametrize("name", ["PROT", "API__PROT", "API__PORT__X", "API", "API_PORT", "", "_API__PORT"])
def test_a_name_that_no_setting_has_is_refused(refused: Any, name: str) -> None:
    lines = refused(**{name: "1"})
    assert any(line.startswith(f"{ENV_PREFIX}{name}: {UNKNOWN}") for line in lines)


def test_a_section_given_as_a_whole_is_refused_and_not_a_traceback(refused: Any) -> None:
    assert refused(API='{"port": 1')[0].startswith(f"JOBYARD_API: {UNKNOWN}")
    assert refused(LOG="x")[0].startswith("JOBYARD_")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("API__PORT", value) for value in ("0", "65536", "-1", "80.5", "http")),
        *(("WORKER__LEASE", value) for value in ("0", "-1", "soon", "nan", "inf", "P")),
        *(("TASKS__MODULES", value) for value in ("a b", ".a", "a.", "a..b", "1a", "a/b.py", "a,b c")),
        *(("BROKER__URL", value) for value in ("127.0.0.1:6379", "kafka://x", "redis://[")),
        *(("REDIS__URL", value) for value in ("amqp://x", "sentinel://x")),
        *(
            ("SMTP__URL", value)
            for value in ("smtp://", "mail.example.org", "smtp://h:port", "smtp://h:99999")
        ),
        *(
            ("COLLECT__ALLOW", value)
            for value in ("localhost", "10.0.0.0/33", "127.0.0.1:0", "10.0.0.0/8:99999")
        ),
        ("WORKER__CHILD_MEMORY_BYTES", "1000"),
        *(("REDIS__PREFIX", value) for value in ("a b", "shop*", "{shop}", "x" * 101, "yärd:x:", "店:")),
        ("LOG__FORMAT", "xml"),
        ("API__MAX_BODY_BYTES", "1"),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_variable(refused: Any, name: str, value: str) -> None:
    [line] = refused(**{name: value})
    assert line.startswith(f"{ENV_PREFIX}{name}: ")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", "localhost.example.org"])
def test_an_address_that_others_can_reach_needs_keys(loaded: Any, refused: Any, host: str) -> None:
    [line] = refused(API__HOST=host)
    assert line.startswith(f"JOBYARD_API__HOST is {host}, which others can reach: set JOBYARD_API__KEYS")
    assert loaded(API__HOST=host, API__KEYS="key").api.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_alone_needs_none(loaded: Any, host: str) -> None:
    assert is_loopback(host)
    assert loaded(API__HOST=host).api.host == host


def test_every_pair_of_equal_ports_is_named(refused: Any) -> None:
    lines = refused(API__PORT="7000", FLOWER__PORT="7000", MAILBOX__PORT="7000", VALKEY__PORT="7001")
    assert len(lines) == 3
    assert all("are both 7000" in line for line in lines)


def test_a_lease_is_three_passes_of_the_keeper_at_least(loaded: Any, refused: Any) -> None:
    [line] = refused(WORKER__LEASE="5.9", KEEPER__INTERVAL="2")
    assert "JOBYARD_WORKER__LEASE" in line
    assert "JOBYARD_KEEPER__INTERVAL" in line
    assert loaded(WORKER__LEASE="6").worker.lease == timedelta(seconds=6)


def test_what_is_made_in_python_is_held_to_the_same_rules() -> None:
    with pytest.raises(ValidationError, match="JOBYARD_API__KEYS"):
        Settings(api=ApiSettings(host="0.0.0.0"))
    with pytest.raises(ValidationError, match="three times"):
        Settings(worker=WorkerSettings(lease=timedelta(1)), keeper=KeeperSettings(interval=timedelta(1)))
    with pytest.raises(ValidationError, match="JOBYARD_API__PROT"):
        Settings(api={"prot": 1})
    with pytest.raises(ValidationError, match="frozen"):
        Settings().home = Path("/")  # type: ignore[misc]


def test_redis_is_the_broker_where_that_is_one_and_the_embedded_valkey_elsewhere(
    loaded: Any, tmp_path: Path
) -> None:
    for broker in ("rediss://example.org/1", "sentinel://example.org/1?master=yard"):
        assert loaded(BROKER__URL=broker).redis_url == broker
        assert not needs_valkey(loaded())
    for broker in ("amqp://example.org", "sqs://?region=eu-central-1"):
        settings = loaded(BROKER__URL=broker, HOME=str(tmp_path))
        assert settings.redis_url == f"redis://:{settings.valkey_password}@127.0.0.1:6399/0"
        assert needs_valkey(loaded())
    assert loaded(REDIS__URL="redis://other/2", VALKEY__PORT="7000").redis_url == "redis://other/2"


def test_the_embedded_valkey_has_a_password_that_is_kept_in_the_home_folder(
    loaded: Any, tmp_path: Path
) -> None:
    url = loaded(HOME=str(tmp_path)).broker_url
    assert url == f"redis://:{(tmp_path / 'valkey.password').read_text()}@127.0.0.1:6399/0"
    assert loaded(HOME=str(tmp_path)).broker_url == url


def test_a_password_that_cannot_be_kept_is_said_in_a_sentence(loaded: Any, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, and no folder")
    with pytest.raises(SettingsError, match=r"JOBYARD_HOME: the password in .* cannot be read or generated"):
        loaded(HOME=str(tmp_path / "home")).broker_url  # noqa: B018


def test_a_postgresql_url_gets_the_driver_that_is_installed(loaded: Any) -> None:
    url = "postgresql://user:secret@example.org/jobs?sslmode=require"
    assert loaded(LEDGER__URL=url).ledger_url == f"postgresql+psycopg{url[10:]}"
    named = "postgresql+psycopg://example.org/jobs"
    assert Settings(ledger=LedgerSettings(url=named)).ledger_url == named


def config(**variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    return subprocess.run(
        [sys.executable, "-m", "jobyard.settings"],
        env=environment | {f"{ENV_PREFIX}{name}": value for name, value in variables.items()},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_python_m_config_shows_every_setting_and_no_secret() -> None:
    shown = config(
        API__KEYS="hidden1,hidden2",
        FLOWER__PASSWORD="hidden3",
        SMTP__URL="smtp://ada:hidden4@example.org",
        LEDGER__URL="postgresql://ada:hidden5@example.org/jobs",
        BROKER__URL="redis://:hidden6@example.org:6379/0",
        REDIS__URL="sentinel://ada:hidden7@h1,h2/0?master=yard&sentinel_password=hidden8&tls=false",
        FILES__URL="s3://bucket/folder",
        TASKS__MODULES="shop.jobs,other",
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    values = {line.split()[0]: line.split()[1] for line in shown.stdout.splitlines() if len(line.split()) > 1}
    assert values["JOBYARD_LEDGER__URL"] == "postgresql://ada:***@example.org/jobs"
    assert values["JOBYARD_BROKER__URL"] == "redis://:***@example.org:6379/0"
    sentinel = "sentinel://ada:***@h1,h2/0?master=yard&sentinel_password=***&tls=false"
    assert values["JOBYARD_REDIS__URL"] == sentinel
    assert values["JOBYARD_FILES__URL"] == "s3://bucket/folder"
    assert values["JOBYARD_TASKS__MODULES"] == "shop.jobs,other"
    assert values["JOBYARD_API__PORT"] == "8000"
    assert re.fullmatch("key:[0-9a-f]{8},key:[0-9a-f]{8}", values["JOBYARD_API__KEYS"])
    assert "hidden" not in shown.stdout


def test_python_m_config_says_what_is_wrong_in_a_sentence() -> None:
    shown = config(API__PORT="x")
    assert shown.returncode == 1
    assert shown.stderr.startswith("These settings are wrong:\n  - JOBYARD_API__PORT: ")
    assert "Traceback" not in shown.stderr


def test_python_m_config_shows_what_stands_for_the_urls_that_were_not_given() -> None:
    shown = config(HOME="/srv/jobyard", VALKEY__PORT="7000").stdout
    for url in ("sqlite:////srv/jobyard/jobyard.db", "redis://127.0.0.1:7000/0", "file:///srv/jobyard/files"):
        assert f" {url} " in shown


def test_an_env_file_that_is_not_there_is_a_mistake(loaded: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"JOBYARD_ENV_FILE: there is no file .*nowhere"):
        loaded(ENV_FILE=str(tmp_path / "nowhere"))
    assert loaded(ENV_FILE="").api.port == 8000


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_the_celery_command_says_what_is_wrong_in_a_sentence(command: str, tmp_path: Path) -> None:
    def celery(**variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "celery", "-A", "tasks.app", command],
            env=os.environ | {f"{ENV_PREFIX}{name}": value for name, value in variables.items()},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    wrong = celery(API__PORT="x")
    assert wrong.returncode != 0
    assert wrong.stderr.startswith("These settings are wrong:\n  - JOBYARD_API__PORT: ")
    if command == "worker":
        nothing = celery(HOME=str(tmp_path / "nowhere"))
        assert nothing.returncode != 0
        assert nothing.stderr.splitlines()[-1].startswith("there is no ledger at ")


@pytest.mark.parametrize(
    "url",
    [
        *("amqp://ada:s3/cret@h/v", "amqp://ada:s3#cret@h", "amqp://ada:s3?cret@h", "amqp://ada:1/2@h/v"),
        *("amqp://h:port", "amqp://h:0", "amqp://h:70000", "amqp://ada:s3cret@", "amqp://", "amqps:///v"),
        *("amqp://[::1", "amqp://h/v#s3cret", "amqp://h;redis://h", "amqp://h;", "amqp:h"),
        *("amqp://h?s3cret", "amqps://h?x=s3cret", "amqp://h?ssl_cert_reqs=none", "amqps://h?ssl_cert_reqs="),
        "amqps://h?ssl_ca_certs=/nowhere",
    ],
)
def test_an_amqp_url_that_cannot_be_meant_is_refused_and_not_repeated(refused: Any, url: str) -> None:
    [line] = refused(BROKER__URL=url)
    assert line.startswith("JOBYARD_BROKER__URL: ")
    assert not any(part in line for part in ("s3", "cret", "ada"))
    if "cret@h" in url:
        assert "percent-encoded, / as %2F" in line


@pytest.mark.parametrize(
    "url",
    [
        "amqp://h",
        "amqp://h/",
        "amqp://h//",
        "amqps://ada:s3%2Fcret@h:5671/a%2Fb?ssl_cert_reqs=none",
        "amqp://h;amqp://i:1",
    ],
)
def test_an_amqp_url_that_can_is_taken_as_it_is(loaded: Any, url: str) -> None:
    assert loaded(BROKER__URL=url).broker_url == url


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"JOBYARD_HOME=\xff\xfe\n", ".env cannot be read: 'utf-8' codec"),
        (b"A=1\ngarbage line\n", ".env, line 2: cannot be read; write NAME=VALUE"),
        (b'A=1\nexport JOBYARD_API__PORT="18100\n', ".env, line 2: cannot be read"),
        (b"=x\n", ".env, line 1: cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert message in str(error.value)
