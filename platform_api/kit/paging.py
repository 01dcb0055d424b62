"""Cursor paging: a page is named by the last row of the one before, never by a number."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel

from platform_api.kit.errors import unprocessable

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 500
CURSOR_MAX_CHARS: Final = 512

T = TypeVar("T")
K = TypeVar("K", bound=tuple[Any, ...])
M = TypeVar("M", bound=BaseModel)


class Listing(BaseModel, Generic[M]):
    """A page of a list. ``next`` is the cursor of the page after it, null on the last."""

    items: list[M]
    next: str | None = None


class CursorError(ValueError):
    """Text that is no cursor of this list."""


def encode_cursor(kind: str, key: tuple[Any, ...]) -> str:
    """Opaque cursor for the row with sort key ``key`` in list ``kind``."""
    packed = msgspec.json.encode([kind, *key])
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode_cursor(kind: str, key_type: type[K], cursor: str) -> K:
    """Sort key in a cursor of list ``kind``. Raises CursorError."""
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        parts = msgspec.json.decode(packed, type=list[Any])
        if not parts or parts[0] != kind:
            msg = f"cursor is not one of {kind}"
            raise CursorError(msg)
        key: K = msgspec.convert(parts[1:], type=key_type)
    except (binascii.Error, msgspec.MsgspecError, RecursionError, ValueError) as error:
        if isinstance(error, CursorError):
            raise
        msg = "not a cursor"
        raise CursorError(msg) from error
    return key


def seen(kind: str, key_type: type[K], cursor: str | None) -> K | None:
    """Sort key of the last row already seen, None on the first page. Raises InputError (422)."""
    if cursor is None:
        return None
    try:
        return decode_cursor(kind, key_type, cursor)
    except CursorError as error:
        raise unprocessable("query.cursor", str(error)) from error


CursorText = Annotated[str | None, Query(max_length=CURSOR_MAX_CHARS, description="`next` of the page before")]


class Page:
    """Which page of a list is asked for."""

    def __init__(self, request: Request, response: Response, limit: int, cursor: str | None) -> None:
        self.limit = limit
        self._cursor = cursor
        self._request = request
        self._response = response

    def after(self, kind: str, key_type: type[K]) -> K | None:
        """Sort key of the last row already seen, None on the first page. Raises InputError (422)."""
        return seen(kind, key_type, self._cursor)

    def listing(
        self, kind: str, rows: Sequence[T], *, key: Callable[[T], tuple[Any, ...]], item: Callable[[T], M]
    ) -> Listing[M]:
        """The page of ``rows``, of which one more than ``limit`` was asked for; sets the Link header."""
        shown = rows[: self.limit]
        following = encode_cursor(kind, key(shown[-1])) if len(rows) > self.limit else None
        if following is not None:
            target = self._request.url.include_query_params(cursor=following)
            self._response.headers["Link"] = f'<{target.path}?{target.query}>; rel="next"'
        return Listing(items=[item(row) for row in shown], next=following)


async def page_of(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Rows a page")] = LIMIT_DEFAULT,
    cursor: CursorText = None,
) -> Page:
    """What the query parameters ``limit`` and ``cursor`` ask for."""
    return Page(request, response, limit, cursor)


Paging = Annotated[Page, Depends(page_of)]
