"""The reports' service."""

from celery.result import AsyncResult
from fastapi import FastAPI

from reports.tasks import app, write_report

api = FastAPI()


@api.post("/reports", status_code=202)
def order(pages: int, fail_at: int | None = None):
    return {"id": write_report.delay(pages, fail_at=fail_at).id}


@api.get("/reports/{report_id}")
def look(report_id: str):
    result = AsyncResult(report_id, app=app)
    if result.state == "WRITING":
        return {"state": result.state, **result.info}
    if result.failed():
        return {"state": result.state, "error": str(result.result)}
    return {"state": result.state, "result": result.result if result.ready() else None}
