"""`image.convert`: converts one picture into one or several of other sizes and formats."""

from jobyard import task
from jobyard.fetching.errors import TemporaryFetchError
from tasks.images.payload import Convert, Converted


@task(
    "image.convert",
    queue="images",
    autoretry_for=(TemporaryFetchError,),
    max_retries=13,  # half an hour on average, as for `page.collect`
    retry_backoff=2,
    retry_backoff_max=600,
    time_limit=120,
)
def convert_image(payload: Convert) -> Converted:
    """Convert a picture: JPEG, PNG, WebP, AVIF or GIF in any size, several outputs in one job.

    The EXIF orientation is applied first. GIF and WebP keep an animation as browsers show it, with its
    durations and its number of plays; the other formats get its first frame. A pixel of a GIF is transparent
    or it is not: what is less than half opaque becomes transparent, all else opaque in its own colour.
    """
    # Imported here, so that only workers that convert pictures load Pillow.
    from tasks.images.convert import convert

    return convert(payload)
