"""`image.convert`: one picture in, one or several out, in other sizes and formats."""

from jobyard import task
from jobyard.fetching.errors import TemporaryFetchError
from tasks.images.payload import Convert, Converted


@task(
    "image.convert",
    queue="images",
    autoretry_for=(TemporaryFetchError,),
    max_retries=2,
    retry_backoff=5,
    time_limit=120,
)
def convert_image(order: Convert) -> Converted:
    """Convert a picture: JPEG, PNG, WebP, AVIF or GIF in any size, several outputs in one job.

    Orientation from EXIF is applied first. An animation stays one in GIF and WebP; the other formats get
    its first frame.
    """
    # Here, so that Pillow is loaded by workers that convert, and by no other process.
    from tasks.images.convert import convert

    return convert(order)
