"""The answer that is a file of readings, made while it is sent."""

from collections.abc import Mapping

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from platform_api.kit.db import a_transaction
from platform_api.kit.places import EXPORTS
from platform_api.telemetry.export import MEDIA_TYPES, ReadingsFormat, Wanted, export


class Download(Response):
    """A file of what is ``wanted``, in a transaction that lives until the last byte was sent."""

    def __init__(self, request: Request, wanted: Wanted, form: ReadingsFormat, headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers, media_type=MEDIA_TYPES[form])
        self._request = request
        self._wanted = wanted
        self._form = form
        self._told = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. Raises ApiError (503) when too many are under way, before a connection is taken for it."""
        with EXPORTS.take():
            async with a_transaction(self._request) as tx:
                pieces = await run_in_threadpool(export, tx, self._wanted, self._form)
                await StreamingResponse(pieces, media_type=self.media_type, headers=self._told)(scope, receive, send)
