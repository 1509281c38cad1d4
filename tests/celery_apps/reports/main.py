"""Orders two reports from the service, and prints what it said of them."""

import json
from time import monotonic, sleep

from fastapi.testclient import TestClient
from reports.api import api


def watch(client, **order):
    report_id = client.post("/reports", params=order).json()["id"]
    states, until = [], monotonic() + 30
    while monotonic() < until:
        answer = client.get(f"/reports/{report_id}").json()
        if answer["state"] not in states:
            states.append(answer["state"])
        if answer["state"] in ("SUCCESS", "FAILURE"):
            return {"wrote": "WRITING" in states, "end": answer}
        sleep(0.05)
    raise TimeoutError(states)


def main():
    client = TestClient(api)
    unknown = client.get("/reports/00000000-0000-4000-8000-000000000000").json()
    print(
        json.dumps(
            {"good": watch(client, pages=3), "torn": watch(client, pages=3, fail_at=2), "unknown": unknown}
        )
    )


if __name__ == "__main__":
    main()
