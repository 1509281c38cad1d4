"""Pictures through a ledger, a broker and child processes that may have only so much memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore
from sqlalchemy import func, select

from jobyard.jobs.database.ledger_database import open_database
from jobyard.jobs.database.migrate import migrate
from jobyard.jobs.database.schema import file as file_table
from jobyard.jobs.files.store import FileStore
from jobyard.jobs.job import Cause, Failure, Job, NewJob, Status, new_id
from jobyard.jobs.ledger import Ledger
from jobyard.jobs.reading.job_queries import get_attempts, get_job
from jobyard.settings import Settings
from tasks.images.payload import Convert, Converted
from tests.support.http_server import Answer, HttpServer
from tests.support.pictures import (
    EPS,
    GREEN,
    RED,
    SVG,
    animation,
    animation_bomb,
    artist,
    colour_at,
    declaring,
    decoded,
    durations,
    encoded,
    is_near,
    jpeg_of_scans,
    noise,
    quarters,
    telltale,
    turned,
)
from tests.support.processes import Program, YardProcesses
from tests.support.waiting import wait_until

CHILD_MEMORY_BYTES = 1024**3
MAX_FILE_BYTES = 4 * 1024**2
MAX_ATTEMPTS = 3
WEBP = {"format": "webp"}


@dataclass
class Darkroom:
    """A yard of its own whose one worker serves `images` in child processes."""

    home: Path
    ledger: Ledger
    files: FileStore
    worker: Program

    def upload(self, content: bytes, name: str = "photo.png") -> str:
        return self.files.save(content, name=name).id

    def convert(self, source: dict[str, str], *outputs: dict[str, Any]) -> Job:
        """Hand in one job and return it once it has ended."""
        payload = Convert.model_validate({"source": source, "outputs": outputs or [WEBP]}).model_dump_json()
        new = NewJob(new_id(), "image.convert", payload, MAX_ATTEMPTS, queue="images")
        self.ledger.accept([new])
        wait_until(lambda: self.found(new.id).status.is_final, 60, f"job {new.id} to end")
        return self.found(new.id)

    def found(self, job_id: str) -> Job:
        return get_job(self.ledger.database, job_id)

    def made(self, content: bytes, *outputs: dict[str, Any], name: str = "photo.png") -> Converted:
        return result(self.convert({"file": self.upload(content, name)}, *outputs))

    def refusal(self, content: bytes, *outputs: dict[str, Any], name: str = "photo.png") -> str:
        """Convert what cannot be, see that it ends at once and keeps no file, and return the reason."""
        source = self.upload(content, name)
        before = self.stored()
        words = final_words(self.convert({"file": source}, *outputs))
        assert self.stored() == before
        return words

    def stored(self) -> tuple[int, int]:
        """How many files the ledger knows, and how many there are."""
        with self.ledger.database.engine.connect() as connection:
            known = connection.execute(select(func.count()).select_from(file_table)).scalar_one()
        return known, len(self.kept_files())

    def kept_files(self) -> list[Path]:
        return [path for path in (self.home / "files").rglob("*") if path.is_file()]


def result(job: Job) -> Converted:
    assert job.status is Status.SUCCEEDED, job.failure
    assert job.result is not None
    return Converted.model_validate_json(job.result)


def failure_of(job: Job) -> Failure:
    assert job.failure is not None
    return job.failure


def final_words(job: Job) -> str:
    assert (job.status, job.attempt, job.lost) == (Status.DEAD, 1, 0)
    assert failure_of(job).cause is Cause.DISCARDED
    return failure_of(job).message


@pytest.fixture(scope="module")
def darkroom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Darkroom]:
    home = tmp_path_factory.mktemp("darkroom")
    yard = YardProcesses(
        home,
        {
            "JOBYARD_KEEPER__INTERVAL": "0.1",
            "JOBYARD_KEEPER__UNSENT_AFTER": "0.1",
            "JOBYARD_WORKER__CHILD_MEMORY_BYTES": str(CHILD_MEMORY_BYTES),
            "JOBYARD_FILES__MAX_BYTES": str(MAX_FILE_BYTES),
            "JOBYARD_COLLECT__ALLOW": "127.0.0.0/8",
        },
    )
    settings = Settings(home=home)
    database = open_database(settings)
    migrate(database)
    files = FileStore(LocalStore(prefix=home / "files", mkdir=True), database, MAX_FILE_BYTES)
    yard.start_valkey()
    yield Darkroom(home, Ledger(database, settings), files, yard.start_worker("prefork", 2, "images"))
    yard.stop_everything()
    database.close()


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as running:
        yield running


def test_one_job_makes_several_pictures_with_names_of_their_own(darkroom: Darkroom) -> None:
    done = darkroom.made(
        turned(6),
        {"format": "webp", "width": 40},
        {"format": "jpeg", "width": 20, "height": 20, "mode": "fill", "name": "thumbnail.jpg"},
        {"format": "avif"},
        {"format": "png", "crop": {"left": 40, "width": 40, "height": 30}},
        {"format": "gif", "width": 8},
        name="holiday.at.sea.jpeg",
    )
    assert (done.source_format, done.source_width, done.source_height, done.frames) == ("jpeg", 80, 60, 1)
    assert [(one.name, one.media_type, one.width, one.height) for one in done.outputs] == [
        ("holiday.at.sea-1.webp", "image/webp", 40, 30),
        ("thumbnail.jpg", "image/jpeg", 20, 20),
        ("holiday.at.sea-3.avif", "image/avif", 80, 60),
        ("holiday.at.sea-4.png", "image/png", 40, 30),
        ("holiday.at.sea-5.gif", "image/gif", 8, 6),
    ]
    for one in done.outputs:
        stored, content = darkroom.files.describe(one.file), darkroom.files.read(one.file)
        assert (stored.name, stored.media_type, stored.size) == (one.name, one.media_type, len(content))
        assert one.size == stored.size
        assert decoded(content).size == (one.width, one.height)
    assert is_near(colour_at(decoded(darkroom.files.read(done.outputs[0].file)), 0.25, 0.25), RED)
    assert is_near(colour_at(decoded(darkroom.files.read(done.outputs[3].file)), 0.5, 0.5), GREEN)


def test_a_picture_without_a_name_gets_one(darkroom: Darkroom) -> None:
    assert darkroom.made(encoded(quarters(), "PNG"), name="").outputs[0].name == "picture-1.webp"


def test_an_animation_stays_one(darkroom: Darkroom) -> None:
    done = darkroom.made(animation("GIF"), WEBP, {"format": "jpeg"})
    assert done.frames == 3
    assert durations(darkroom.files.read(done.outputs[0].file)) == [100, 200, 400]
    assert len(durations(darkroom.files.read(done.outputs[1].file))) == 1


def test_metadata_is_dropped_or_kept_as_each_output_says(darkroom: Darkroom) -> None:
    done = darkroom.made(telltale(), {"format": "jpeg"}, {"format": "jpeg", "strip_metadata": False})
    plain, kept = [darkroom.files.read(one.file) for one in done.outputs]
    assert b"Ada" not in plain
    assert artist(decoded(kept)) == "Ada in EXIF"


def test_a_picture_may_come_from_a_url(darkroom: Darkroom, server: HttpServer) -> None:
    picture = encoded(quarters(), "PNG")
    server.page("/pictures/sea.png?size=large", picture, "image/png")
    url = server.redirect("/old", "/pictures/sea.png?size=large")
    done = result(darkroom.convert({"url": url}))
    assert (done.source_format, done.outputs[0].name) == ("png", "sea-1.webp")


def test_a_picture_from_the_root_of_a_server_is_just_a_picture(
    darkroom: Darkroom, server: HttpServer
) -> None:
    done = result(darkroom.convert({"url": server.page("/", encoded(quarters(), "PNG"))}))
    assert done.outputs[0].name == "picture-1.webp"


def test_a_server_that_asks_for_patience_is_asked_again(darkroom: Darkroom, server: HttpServer) -> None:
    busy = Answer(status=503, headers={"Retry-After": "0"})
    url = server.route("/sea.png", busy, Answer(encoded(quarters(), "PNG")))
    job = darkroom.convert({"url": url})
    assert (job.status, job.attempt) == (Status.SUCCEEDED, 2)


def test_a_url_without_a_picture_is_a_final_failure(darkroom: Darkroom, server: HttpServer) -> None:
    assert "answered 404" in final_words(darkroom.convert({"url": server.url("/none.png")}))
    page = server.page("/page.png", b"<html>Not a picture</html>", "image/png")
    assert "none of JPEG, PNG" in final_words(darkroom.convert({"url": page}))


def test_a_url_with_too_large_a_file_is_a_final_failure(darkroom: Darkroom, server: HttpServer) -> None:
    url = server.page("/large.png", bytes(MAX_FILE_BYTES + 1))
    assert f"larger than {MAX_FILE_BYTES} bytes" in final_words(darkroom.convert({"url": url}))


def test_no_picture_is_fetched_from_the_inside(darkroom: Darkroom, server: HttpServer) -> None:
    url = server.redirect("/sea.png", "http://169.254.169.254/latest/sea.png")
    assert "not a public address" in final_words(darkroom.convert({"url": url}))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "zero bytes", id="zero-bytes"),
        pytest.param(encoded(noise(), "JPEG")[:5000], "damaged or truncated", id="truncated"),
        pytest.param(SVG, "an SVG drawing", id="svg"),
        pytest.param(EPS, "an EPS or PostScript program", id="eps"),
        pytest.param(declaring(100_000, 100_000), "JOBYARD_IMAGES__MAX_PIXELS", id="too-many-pixels"),
        pytest.param(animation_bomb(5000, 5000, 1000), "5000 x 5000 x 3 frames", id="animation-bomb"),
        pytest.param(jpeg_of_scans(1000, 1000, 5001), "pixels in 5001 scans", id="scans"),
        pytest.param(b"This is a text.\n", "its content counts, not its name", id="text"),
    ],
)
def test_what_cannot_be_converted_is_a_final_failure_that_says_why(
    darkroom: Darkroom, content: bytes, words: str
) -> None:
    assert words in darkroom.refusal(content)


def test_one_output_that_cannot_be_made_leaves_none_of_the_others(darkroom: Darkroom) -> None:
    outside = {"format": "png", "crop": {"left": 79, "width": 2, "height": 2}}
    words = darkroom.refusal(encoded(quarters(), "PNG"), WEBP, outside)
    assert "crop reaches to 81 x 2, and the picture ends at 80 x 60" in words


def test_an_output_that_is_too_large_to_keep_leaves_none_of_the_others(darkroom: Darkroom) -> None:
    words = darkroom.refusal(encoded(noise(1300, 1300), "JPEG", quality=70), WEBP, {"format": "png"})
    assert words == f"outputs.1: the file is larger than {MAX_FILE_BYTES} bytes (JOBYARD_FILES__MAX_BYTES)"


def test_a_file_that_is_nobodys_is_a_final_failure(darkroom: Darkroom) -> None:
    missing = new_id()
    assert f"no file {missing}" in final_words(darkroom.convert({"file": missing}))


def test_a_file_that_vanished_from_the_store_is_a_final_failure(darkroom: Darkroom) -> None:
    file_id = darkroom.upload(encoded(quarters(), "PNG"))
    (kept,) = [path for path in darkroom.kept_files() if path.name == file_id]
    kept.unlink()
    assert final_words(darkroom.convert({"file": file_id})) == f"source: no file {file_id} is stored here"


def test_a_picture_that_needs_too_much_memory_fails_and_its_worker_goes_on(darkroom: Darkroom) -> None:
    source = {"file": darkroom.upload(encoded(quarters(), "PNG"))}
    before = darkroom.stored()
    enormous = {"format": "avif", "width": 7000, "height": 7000, "mode": "exact"}
    job = darkroom.convert(source, enormous)
    assert (job.status, job.lost) == (Status.DEAD, 0)
    assert failure_of(job).cause is Cause.OUT_OF_MEMORY
    assert "JOBYARD_WORKER__CHILD_MEMORY_BYTES" in failure_of(job).message
    (attempt,) = get_attempts(darkroom.ledger.database, job.id)
    assert attempt.failure.cause is Cause.OUT_OF_MEMORY
    assert darkroom.stored() == before

    child = process_id(job)
    assert address_space(child) == CHILD_MEMORY_BYTES
    wait_until(lambda: process_id(darkroom.convert(source)) == child, 30, "the same child to convert again")
    assert darkroom.worker.process.poll() is None


def process_id(job: Job) -> int:
    assert job.worker is not None
    return int(job.worker.rpartition("/")[2])


def address_space(process_id: int) -> int:
    limits = Path(f"/proc/{process_id}/limits").read_text().splitlines()
    (line,) = [line for line in limits if line.startswith("Max address space")]
    return int(line.split()[3])
