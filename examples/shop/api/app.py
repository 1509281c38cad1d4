"""`uvicorn api.app:app` serves the shop; the report is written by a worker."""

from fastapi import FastAPI

from tasks.reports import Month, write_report

app = FastAPI(title="Shop")


@app.post("/years/{year}/months/{month}/report", status_code=202)
async def order_report(year: int, month: int) -> dict[str, str]:
    handle = await write_report.submit_async(Month(year=year, month=month), unique_key=f"{year}-{month}")
    return {"job": handle.id}
