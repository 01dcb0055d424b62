"""GET /v1/exports: what there is, as a file."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import IO, Annotated, Any, Final

from fastapi import Query
from fastapi.responses import StreamingResponse
from psycopg.rows import tuple_row

from platform_api.exports.files import MEDIA_TYPES, Format, write
from platform_api.exports.queries import SOURCES
from platform_api.kit.auth import Caller, check_whole
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES, ApiError, unprocessable
from platform_api.kit.filters import Since, Until, bounds
from platform_api.kit.nouns import Noun
from platform_api.kit.places import EXPORTS
from platform_api.kit.work import Router

router = Router(tags=["files"], responses=COMMON_RESPONSES)

ROWS_MAX: Final = 1_000_000
"""A sheet of XLSX has 1,048,576."""
BATCH_ROWS: Final = 2_000
SPOOLED_BYTES: Final = 1024 * 1024
"""Beyond it a file waits on disk to be sent, with the connection given back."""
PIECE_BYTES: Final = 64 * 1024

NounName = Annotated[Noun, Query(description="What a row of the file is")]
FormatName = Annotated[Format, Query(alias="format")]
ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file; its first row names the columns",
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            MEDIA_TYPES[Format.XLSX]: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.get("/v1/exports", summary="Export a noun as CSV or XLSX", response_class=StreamingResponse, responses=ANSWER)
def export(
    noun: NounName,
    caller: Caller,
    tx: Tx,
    form: FormatName = Format.CSV,
    since: Since = None,
    until: Until = None,
) -> StreamingResponse:
    """All that the caller may see of it, at most a million rows; `from` and `to` bound what has a time.

    What is registered has the columns of the import, so that a file can be changed and uploaded again.
    """
    source = SOURCES[noun]
    if caller.role not in source.roles:
        raise ApiError(HTTPStatus.FORBIDDEN, f"role {caller.role} may not have this")
    if source.is_of_whole:
        check_whole(caller, tx)
    values = {**caller.scope, **caller.org_scope, **bounds(since, until), "limit": ROWS_MAX + 1}
    # Sent by what is returned, which closes it.
    file = tempfile.SpooledTemporaryFile(SPOOLED_BYTES)  # noqa: SIM115
    with EXPORTS.take(), tx.cursor("export", row_factory=tuple_row) as cursor:
        cursor.itersize = BATCH_ROWS
        cursor.execute(f"{source.query}\nLIMIT %(limit)s".encode(), values)
        assert cursor.description is not None
        write(file, form, noun, [column.name for column in cursor.description], _bounded(cursor))
    headers = {
        "Content-Disposition": f'attachment; filename="{noun}.{form}"',
        "Content-Length": str(file.seek(0, os.SEEK_END)),
        "Cache-Control": "no-store",
    }
    return StreamingResponse(_pieces(file), media_type=MEDIA_TYPES[form], headers=headers)


def _bounded(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """The rows. Raises InputError (422) when there are too many."""
    for number, row in enumerate(rows):
        if number == ROWS_MAX:
            raise unprocessable("query.from", f"there are more than {ROWS_MAX} rows: ask for a shorter time")
        yield row


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(PIECE_BYTES):
            yield piece
