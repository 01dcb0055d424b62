"""``Idempotency-Key``: a creating request that comes again is answered as it was the first time.

One key runs at a time: the others that come meanwhile are told so (409) and may try again. The answer is written in the
transaction of the work itself, so that a crash leaves both or none; what failed leaves nothing, and may be repeated.
Bodies are compared as they came, secrets in them too, by a hash that only the platform's own secret can make: what is
kept tells nobody whether they guessed a password.
"""

import hmac
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request, Response
from psycopg.types.json import Jsonb
from pydantic import BaseModel, SecretStr
from pydantic_core import to_jsonable_python

from platform_api.kit.auth import Caller, Principal
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import COMMON_RESPONSES, ApiError, unprocessable

KEY_PATTERN: Final = r"^[!-~]{1,200}$"
KEPT_HOURS: Final = 24

TRY_LOCK: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended(%(name)s, 6)) AS locked"
KNOWN: Final = """
SELECT request, body_sha256, status, headers, body FROM idempotency_key
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND key = %(key)s
"""
KEEP: Final = """
INSERT INTO idempotency_key (tenant_id, user_id, key, request, body_sha256, status, headers, body)
VALUES (%(tenant_id)s, %(user_id)s, %(key)s, %(request)s, %(body_sha256)s, %(status)s, %(headers)s, %(body)s)
"""
FORGET: Final = "DELETE FROM idempotency_key WHERE created_at < now() - make_interval(hours => %(hours)s)"

CREATE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    400: {**COMMON_RESPONSES[401], "description": "Idempotency-Key is missing"},
    409: {**COMMON_RESPONSES[401], "description": "The same key is being worked on, or the state does not allow it"},
}

Made = tuple[BaseModel, Mapping[str, str]]
"""What a request made, and the headers of its answer."""


class Once:
    """Runs the work of a request at most once a key of its caller."""

    def __init__(self, tx: Connection, caller: Principal, request: str, key: str, secret: str) -> None:
        self._request = request
        self._secret = secret
        self._tx = tx
        self._of: dict[str, Any] = {"tenant_id": caller.tenant_id, "user_id": caller.user_id, "key": key}

    def answer(
        self, body: BaseModel | None, make: Callable[[], Made], *, status: HTTPStatus = HTTPStatus.CREATED
    ) -> Response:
        """The answer of ``make``, or the one that was given before.

        Raises ApiError (409) while another request with the key runs, InputError (422) when the key came with another
        request or body before.
        """
        lock = self._tx.execute(TRY_LOCK, {"name": "\x1f".join(map(str, self._of.values()))}).fetchone()
        assert lock is not None
        if not lock["locked"]:
            detail = "a request with this Idempotency-Key is being worked on"
            raise ApiError(HTTPStatus.CONFLICT, detail, headers={"Retry-After": "1"})
        body_sha256 = _digest(body, self._secret)
        known = self._tx.execute(KNOWN, self._of).fetchone()
        if known is not None:
            if known["request"] != self._request or bytes(known["body_sha256"]) != body_sha256:
                raise unprocessable("header.Idempotency-Key", "was used before, for another request")
            return _response(known["status"], known["headers"], known["body"], replayed=True)
        made, headers = make()
        text = made.model_dump_json(by_alias=True)
        self._tx.execute(
            KEEP,
            {
                **self._of,
                "request": self._request,
                "body_sha256": body_sha256,
                "status": int(status),
                "headers": Jsonb(dict(headers)),
                "body": text,
            },
        )
        return _response(int(status), headers, text, replayed=False)


def _digest(body: BaseModel | None, secret: str) -> bytes:
    """HMAC-SHA256 of a body with its secrets unmasked."""
    told = "" if body is None else json.dumps(body.model_dump(), default=_unmasked)
    return hmac.digest(f"idempotency:{secret}".encode(), told.encode(), "sha256")


def _unmasked(value: object) -> object:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return to_jsonable_python(value, bytes_mode="base64")


def _response(status: int, headers: Mapping[str, str], body: str, *, replayed: bool) -> Response:
    told = {**headers, "Idempotency-Replayed": "true"} if replayed else dict(headers)
    return Response(body, status_code=status, headers=told, media_type="application/json")


async def once_only(
    request: Request,
    caller: Caller,
    tx: Tx,
    key: Annotated[
        str | None,
        Header(alias="Idempotency-Key", pattern=KEY_PATTERN, description="Any text of yours, new for each new thing"),
    ] = None,
) -> Once:
    """What the header ``Idempotency-Key`` asks for. Raises ApiError (400) without it."""
    if not key:
        raise ApiError(HTTPStatus.BAD_REQUEST, "send an Idempotency-Key: any text of yours, new for each new thing")
    return Once(tx, caller, f"{request.method} {request.url.path}", key, request.app.state.secret)


OnceOnly = Annotated[Once, Depends(once_only)]
