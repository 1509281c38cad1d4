"""The object store of the settings. Its library is loaded when something is put there or fetched.

So a program that hands in small jobs does without it (`pip install 'jobyard[files]'` brings it).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from jobyard.jobs.errors import ObjectStoreError

if TYPE_CHECKING:
    from obstore.store import ObjectStore


def open_store(url: str) -> "ObjectStore":
    """Return the object store of a URL; a folder is made where it is not there. Raises `ObjectStoreError`."""
    with named_faults():
        from obstore.store import LocalStore, from_url

        if urlsplit(url).scheme == "file":
            return LocalStore(prefix=Path(unquote(urlsplit(url).path)), mkdir=True)
        return from_url(url)


@contextmanager
def named_faults() -> Iterator[None]:
    """Raise `ObjectStoreError` for what an object store cannot do; that a file is not there passes."""
    try:
        yield
    except FileNotFoundError:
        raise
    except ModuleNotFoundError as error:
        raise ObjectStoreError("it needs more than is installed: pip install 'jobyard[files]'") from error
    except Exception as error:
        from obstore.exceptions import BaseError

        if not isinstance(error, (BaseError, OSError)):
            raise
        raise ObjectStoreError(str(error).strip().partition("\n")[0]) from error
