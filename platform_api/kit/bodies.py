"""No request brings more than BODY_MAX_BYTES, no file more than FILE_MAX_BYTES, whether it says its length or not.

Who has not said everything yet takes nobody's turn: a body is there as a whole before anything is done about it, so
that somebody who sends slowly, or not at all, holds a socket and no connection to the database. Files alone are read
later, once it is known who brings them (``kit/places.py``).
"""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from platform_api.kit.errors import problem
from platform_api.kit.limits import BODY_MAX_BYTES, FILE_MAX_BYTES, FILE_PATHS


class BodyLimit:
    """ASGI middleware that refuses a large body with 413, before it is read where its length is given."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on once its body is there, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_file = scope["path"] in FILE_PATHS
        maximum = FILE_MAX_BYTES if is_file else BODY_MAX_BYTES
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced[:18]) > maximum:
            await _too_large(maximum)(scope, receive, send)
        elif is_file:
            await self._app(scope, _counting(receive, maximum), send)
        else:
            body = await _whole(receive, maximum)
            await (_too_large(maximum) if body is None else self._app)(scope, _told(body or [], receive), send)


async def _whole(receive: Receive, maximum: int) -> list[Message] | None:
    """The messages of a body up to its end or the client's; None when it is larger than ``maximum`` bytes."""
    messages: list[Message] = []
    received = 0
    while True:
        message = await receive()
        received += len(message.get("body", b""))
        if received > maximum:
            return None
        messages.append(message)
        if not message.get("more_body", False):
            return messages


def _told(messages: list[Message], receive: Receive) -> Receive:
    """Tell messages again, and then what comes after them."""
    left = iter(messages)

    async def tell() -> Message:
        return next(left, None) or await receive()

    return tell


def _counting(receive: Receive, maximum: int) -> Receive:
    """Receive, and stop at what is larger than ``maximum`` bytes."""
    received = 0

    async def receive_and_count() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > maximum:
            # Whoever reads the body lets this one through to the handler of HTTP errors.
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _detail(maximum))
        return message

    return receive_and_count


def _too_large(maximum: int) -> ASGIApp:
    return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _detail(maximum))


def _detail(maximum: int) -> str:
    return f"a body has at most {maximum} bytes"
