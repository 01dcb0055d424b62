"""How many exports may run at once in a process: each takes a connection for longer than other requests do."""

import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from platform_api.kit.errors import ApiError

EXPORTS_MAX: Final = 2
RETRY_AFTER_S: Final = 15

_places = threading.BoundedSemaphore(EXPORTS_MAX)


def take_place() -> Iterator[None]:
    """Hold one of the process's places until the dependency's scope ends. Raises ApiError (503) when none is free."""
    if not _places.acquire(blocking=False):
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "too many exports at once", headers=headers)
    try:
        yield
    finally:
        _places.release()
