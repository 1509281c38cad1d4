"""Opens the object store of the settings, and loads its library only then.

A program that submits only small jobs does not need the library (`pip install 'jobyard[files]'` installs
it).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from jobyard.jobs.errors import ObjectStoreError
from jobyard.settings.extras import missing_extras_fault
from jobyard.settings.private_files import make_private_folder

if TYPE_CHECKING:
    from obstore.store import ObjectStore


def open_store(url: str) -> "ObjectStore":
    """Return the object store of a URL, and create a missing folder. Raises `ObjectStoreError`."""
    with explained_errors():
        from obstore.store import LocalStore, from_url

        if urlsplit(url).scheme == "file":
            folder = Path(unquote(urlsplit(url).path))
            make_private_folder(folder)
            return LocalStore(prefix=folder)
        return from_url(url)


@contextmanager
def explained_errors() -> Iterator[None]:
    """Raise `ObjectStoreError` if the object store fails; `FileNotFoundError` passes."""
    try:
        yield
    except FileNotFoundError:
        raise
    except ModuleNotFoundError as error:
        raise ObjectStoreError(missing_extras_fault("it", ["files"]) or str(error)) from error
    except Exception as error:
        from obstore.exceptions import BaseError

        if not isinstance(error, (BaseError, OSError)):
            raise
        raise ObjectStoreError(str(error).strip().partition("\n")[0]) from error
