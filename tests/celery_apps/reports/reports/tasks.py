"""A report that takes its time, and says how far it is."""

from time import sleep

from celery import Celery

app = Celery("reports")
app.conf.task_acks_late = True


@app.task(bind=True, name="reports.write")
def write_report(self, pages: int, fail_at: int | None = None) -> dict[str, int]:
    for page in range(pages):
        if page == fail_at:
            raise ValueError(f"page {page} is torn")
        self.update_state(state="WRITING", meta={"page": page + 1, "pages": pages})
        sleep(0.3)
    return {"pages": pages}
