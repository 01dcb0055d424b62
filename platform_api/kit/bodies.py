"""No request brings more than BODY_MAX_BYTES, no file more than FILE_MAX_BYTES, whether it says its length or not."""

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
        """Pass the call on, counting what is received."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        maximum = FILE_MAX_BYTES if scope["path"] in FILE_PATHS else BODY_MAX_BYTES
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced[:18]) > maximum:
            refused = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {maximum} bytes")
            await refused(scope, receive, send)
            return
        received = 0

        async def receive_and_count() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > maximum:
                # Whoever reads the body lets this one through to the handler of HTTP errors.
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {maximum} bytes")
            return message

        await self._app(scope, receive_and_count, send)
