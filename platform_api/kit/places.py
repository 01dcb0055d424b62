"""How many files may be under way at once in a process: each holds a connection for longer than other requests do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from platform_api.kit.errors import ApiError

PLACES_MAX: Final = 2
RETRY_AFTER_S: Final = 15


class Places:
    """Places of one kind of work."""

    def __init__(self, work: str) -> None:
        self._work = work
        self._free = threading.BoundedSemaphore(PLACES_MAX)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place. Raises ApiError (503) when none is free."""
        if not self._free.acquire(blocking=False):
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, f"too many {self._work} at once", headers=headers)
        try:
            yield
        finally:
            self._free.release()


EXPORTS: Final = Places("exports")
UPLOADS: Final = Places("uploads")
