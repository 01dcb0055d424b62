"""No request brings more than BODY_MAX_BYTES, whether it says its length or not."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from platform_api.kit.errors import problem
from platform_api.kit.limits import BODY_MAX_BYTES


class BodyLimit:
    """ASGI middleware that refuses a large body with 413, before it is read where its length is given."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, counting what is received."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced[:18]) > BODY_MAX_BYTES:
            refused = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {BODY_MAX_BYTES} bytes")
            await refused(scope, receive, send)
            return
        received = 0

        async def receive_and_count() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > BODY_MAX_BYTES:
                # Whoever reads the body lets this one through to the handler of HTTP errors.
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {BODY_MAX_BYTES} bytes")
            return message

        await self._app(scope, receive_and_count, send)
