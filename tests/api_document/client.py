"""What a user of openapi-python-client writes. It is checked by mypy and run against a real API."""

import json
import sys
from uuid import UUID

from generated.api.jobs import get_job, list_jobs
from generated.api.tasks import submit_bad_deed
from generated.client import AuthenticatedClient
from generated.models import (
    BadDeedJob,
    Deed,
    DeedThen,
    Done,
    JobDetail,
    JobList,
    ListJobsPayload,
    Problem,
    Status,
)

client = AuthenticatedClient(base_url=sys.argv[1], token="any, where no keys are set")

# Submit, and wait for the end.
posted = submit_bad_deed.sync(
    client=client,
    body=Deed(then=DeedThen.RETURN, text="typed"),
    tag=["from-python"],
    delay=0,
    prefer="wait=30",
)
assert isinstance(posted, BadDeedJob), posted
assert isinstance(posted.result, Done), posted
said: str = posted.result.said
job_id: UUID = posted.id

# Read.
read = get_job.sync(job_id, client=client)
assert isinstance(read, JobDetail), read
status: Status = read.status

# List, by a field of the payload.
payload = ListJobsPayload.from_dict({"payload.text": "typed"})
listed = list_jobs.sync(client=client, tag="from-python", status=[Status.SUCCEEDED], payload=payload)
assert isinstance(listed, JobList), listed
found = job_id in [job.id for job in listed.jobs]

# Errors.
refused = submit_bad_deed.sync_detailed(client=client, body=Deed(seconds=0), priority=10)
assert isinstance(refused.parsed, Problem), refused
assert refused.parsed.errors, refused
missing = get_job.sync(UUID(sys.argv[2]), client=client)
assert isinstance(missing, Problem), missing

wrong = [refused.status_code, refused.parsed.errors[0].field, missing.status, missing.type_]
print(json.dumps({"said": said, "status": status, "found": found, "wrong": wrong}))
