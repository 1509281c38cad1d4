"""Waits until the yard is ready, and says where everything is and what to try first."""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from time import monotonic, sleep

from jobyard.broker.broadcast import no_events
from jobyard.broker.flower_password import FILE_NAME
from jobyard.local.idle import stay_idle
from jobyard.local.ports import listeners
from jobyard.settings.settings import Settings, get_settings

LONGEST_START_SECONDS = 60
SAMPLE = Path(__file__).parent / "sample.png"


def is_ready(base: str) -> bool:
    """Tell whether the API accepts jobs and somebody serves every queue."""
    try:
        with urllib.request.urlopen(f"{base}/readyz", timeout=2) as answer:
            checks: dict[str, str] = json.load(answer)["checks"]
    except (OSError, ValueError):
        return False
    return all(state == "ok" for state in checks.values())


def is_stored(base: str, settings: Settings, file_id: str) -> bool:
    """Tell whether this yard's ledger knows a file; the folder may have been another's."""
    request = urllib.request.Request(f"{base}/v1/files/{file_id}", headers=_headers(settings, "*/*"))
    try:
        with urllib.request.urlopen(request, timeout=5):
            return True
    except urllib.error.HTTPError:
        return False


def upload_sample(base: str, settings: Settings) -> str:
    """Return the id of the sample picture, uploaded at the first start."""
    note = settings.home / "sample.id"
    if note.exists() and is_stored(base, settings, note.read_text()):
        return note.read_text()
    request = urllib.request.Request(
        f"{base}/v1/files?name={SAMPLE.name}", SAMPLE.read_bytes(), _headers(settings, "image/png")
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        file_id: str = json.load(answer)["id"]
    note.write_text(file_id)
    return file_id


def _headers(settings: Settings, media_type: str) -> dict[str, str]:
    keys = settings.api.keys
    return {"Content-Type": media_type} | ({"X-API-Key": keys[0].get_secret_value()} if keys else {})


def welcome(base: str, settings: Settings, sample_id: str) -> str:
    """Return the text: addresses, and three commands that work as they stand."""
    home, flower = settings.home, settings.flower
    key = ' -H "X-API-Key: $KEY"' if settings.api.keys else ""
    set_key = "\n  KEY=...    (one of JOBYARD_API__KEYS)" if settings.api.keys else ""
    post = f"curl -s{key} -H 'Content-Type: application/json' -H 'Prefer: wait=10'"
    mail = {"to": "ada@example.org", "subject": "Hello", "text": "The first mail from the yard."}
    image = {"source": {"file": sample_id}, "outputs": [{"format": "webp", "width": 200}]}
    password_is = f"{home / FILE_NAME}" if flower.password is None else "JOBYARD_FLOWER__PASSWORD"
    mails = (
        f"kept in {home}/mails" if settings.smtp.url is None else "sent to the server of JOBYARD_SMTP__URL"
    )
    at_flower = f"http://{flower.host}:{flower.port}       (user {flower.user}, password in {password_is})"
    return f"""
The yard is open.

  API      {base}       (documentation: {base}/docs)
  Flower   {at_flower if no_events(settings.broker_url) is None else "not on this broker"}
  Mails    {mails}
  Data     {home}

Three jobs to try, from another terminal:
{set_key}
  {post} {base}/email -d '{json.dumps(mail)}'
  {post} {base}/images -d '{json.dumps(image)}'
  {post} {base}/collect -d '{json.dumps({"url": f"{base}/docs"})}'

How each of them ended:  curl -s{key} {base}/v1/jobs
To stop everything:      Ctrl-C
"""


def main() -> None:
    settings = get_settings()
    base = f"http://{settings.api.host}:{settings.api.port}"
    deadline = monotonic() + LONGEST_START_SECONDS
    while not (is_ready(base) and all(listener.answers() for listener in listeners(settings))):
        if monotonic() > deadline:
            sys.exit(
                f"not everything came up within {LONGEST_START_SECONDS} s; the lines above say what did not"
            )
        sleep(0.3)
    print(welcome(base, settings, upload_sample(base, settings)), flush=True)
    stay_idle("")


if __name__ == "__main__":
    main()
