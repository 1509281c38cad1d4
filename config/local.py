"""What `make run` adds on one machine: the mail catcher, and three sample jobs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from config.settings import CollectSettings, MailboxSettings, SmtpSettings
from jobyard import get_section
from jobyard.local.additions import FirstJob, LocalApi
from jobyard.local.ports import Listener
from jobyard.local.processes import LocalProcess, python_module
from jobyard.settings import Settings

SAMPLE = Path(__file__).parent / "sample.png"


def processes(settings: Settings) -> Sequence[LocalProcess]:
    """Return the mail catcher's process, unless a mail server is set."""
    if get_section(SmtpSettings).url is not None:
        return []
    port = get_section(MailboxSettings).port
    command = python_module("jobyard.local.mailbox", str(port), str(settings.home / "mails"))
    listener = Listener("the mail catcher", "127.0.0.1", port, "JOBYARD_MAILBOX__PORT")
    return [LocalProcess("mailbox", command, listener)]


def environment(settings: Settings) -> Mapping[str, str]:
    """Return a setting that lets the sample job fetch from the API, and from nothing else on loopback."""
    if get_section(CollectSettings).allow:
        return {}
    return {"JOBYARD_COLLECT__ALLOW": f"127.0.0.1:{settings.api.port}"}


def first_jobs(api: LocalApi) -> Sequence[FirstJob]:
    """Return the sample jobs: a mail, a picture and a page."""
    picture = api.upload(SAMPLE.name, SAMPLE.read_bytes(), "image/png")
    return [
        FirstJob(
            "/email", {"to": "ada@example.org", "subject": "Hello", "text": "The first mail from Jobyard."}
        ),
        FirstJob("/images", {"source": {"file": picture}, "outputs": [{"format": "webp", "width": 200}]}),
        FirstJob("/collect", {"url": f"{api.url}/docs"}),
    ]
