"""`python -m jobyard.local.welcome`: waits until everything is ready, then prints addresses and commands."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from time import monotonic, sleep
from typing import Any, Final

from jobyard.broker.flower_password import FILE_NAME
from jobyard.local.additions import FirstJob, LocalApi, added_processes, first_jobs
from jobyard.local.processes import local_processes, no_flower_reason
from jobyard.settings import Settings, get_settings
from jobyard.settings.application import application_source
from jobyard.tasks.queues import declared_queues
from jobyard.tasks.registry import load_tasks

LONGEST_START_SECONDS: Final = 60


def is_ready(base: str, settings: Settings, queues: Iterable[str]) -> bool:
    """Tell whether the API accepts jobs, the broker takes them, and each of these queues has a worker.

    `/readyz` would tell of other queues as well: those that an earlier run has declared.
    """
    try:
        checks: dict[str, str] = _get(base, settings, "/readyz")["checks"]
        workers: list[dict[str, Any]] = _get(base, settings, "/v1/workers")
    except (OSError, ValueError):
        return False
    served = {queue for worker in workers if worker["is_live"] for queue in worker["queues"]}
    return checks["ledger"] == "ok" and not checks["broker"].startswith("silent") and served >= set(queues)


def _get(base: str, settings: Settings, path: str) -> Any:
    request = urllib.request.Request(f"{base}{path}", headers=_headers(settings, "application/json"))
    with urllib.request.urlopen(request, timeout=2) as answer:
        return json.load(answer)


def upload(base: str, settings: Settings, name: str, content: bytes, media_type: str) -> str:
    """Return the id of a file in the ledger, which is uploaded at the first start and kept."""
    id_file = settings.home / f"{name}.id"
    if id_file.exists() and _is_stored(base, settings, id_file.read_text()):
        return id_file.read_text()
    request = urllib.request.Request(f"{base}/v1/files?name={name}", content, _headers(settings, media_type))
    with urllib.request.urlopen(request, timeout=5) as answer:
        file_id: str = json.load(answer)["id"]
    id_file.write_text(file_id)
    return file_id


def _is_stored(base: str, settings: Settings, file_id: str) -> bool:
    request = urllib.request.Request(f"{base}/v1/files/{file_id}", headers=_headers(settings, "*/*"))
    try:
        with urllib.request.urlopen(request, timeout=5):
            return True
    except urllib.error.HTTPError:
        return False


def _headers(settings: Settings, media_type: str) -> dict[str, str]:
    keys = settings.api.keys
    return {"Content-Type": media_type} | ({"X-API-Key": keys[0].get_secret_value()} if keys else {})


def welcome(base: str, settings: Settings, jobs: Sequence[FirstJob]) -> str:
    """Return the text with the addresses, and with commands that can be copied."""
    home, flower = settings.home, settings.flower
    key = ' -H "X-API-Key: $KEY"' if settings.api.keys else ""
    password_location = f"{home / FILE_NAME}" if flower.password is None else "JOBYARD_FLOWER__PASSWORD"
    flower_text = (
        f"http://{flower.host}:{flower.port}       (user {flower.user}, password in {password_location})"
    )
    if reason := no_flower_reason(settings):
        flower_text = f"not started: {reason}"
    lines = [
        "Jobyard is ready.",
        "",
        f"  Serves   {application_source()}",
        f"  API      {base}       (documentation: {base}/docs)",
        f"  Flower   {flower_text}",
        f"  Data     {home}",
        "",
    ]
    if jobs:
        lines += ["Jobs to try, from another terminal:", ""]
        lines += ["  KEY=...    (one of JOBYARD_API__KEYS)"] * bool(key)
        post = f"curl -s{key} -H 'Content-Type: application/json' -H 'Prefer: wait=10'"
        lines += [f"  {post} {base}{job.path} -d '{json.dumps(job.payload)}'" for job in jobs]
        lines.append("")
    lines += [
        f"How each of them ended:  curl -s{key} {base}/v1/jobs",
        "To stop everything:      Ctrl-C",
    ]
    return "\n".join(lines)


def main() -> None:
    settings = get_settings()
    load_tasks()
    base = f"http://{settings.api.host}:{settings.api.port}"
    deadline = monotonic() + LONGEST_START_SECONDS
    processes = local_processes(settings, added_processes(settings))
    listeners = [process.listener for process in processes if process.listener]
    queues = declared_queues()
    while not (is_ready(base, settings, queues) and all(listener.is_answering() for listener in listeners)):
        if monotonic() > deadline:
            sys.exit(f"not every process was ready within {LONGEST_START_SECONDS} s; the lines above say why")
        sleep(0.3)
    api = LocalApi(base, settings, lambda name, content, kind: upload(base, settings, name, content, kind))
    print(welcome(base, settings, first_jobs(api)), flush=True)


if __name__ == "__main__":
    main()
