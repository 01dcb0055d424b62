"""GET /v1/exports: what there is, as a file."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from psycopg.rows import tuple_row

from platform_api.exports.files import MEDIA_TYPES, Format, write
from platform_api.exports.queries import SOURCES, Noun
from platform_api.kit.auth import Caller
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES, ApiError, unprocessable
from platform_api.kit.filters import Since, Until, bounds

router = APIRouter(tags=["files"], responses=COMMON_RESPONSES)

ROWS_MAX: Final = 50_000

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


@router.get("/v1/exports", summary="Export a noun as CSV or XLSX", response_class=Response, responses=ANSWER)
def export(
    noun: NounName,
    caller: Caller,
    tx: Tx,
    form: FormatName = Format.CSV,
    since: Since = None,
    until: Until = None,
) -> Response:
    """All that the caller may see of it, at most 50,000 rows; `from` and `to` bound what has a time.

    What can be imported has the columns of the import, so that a file can be changed and uploaded again.
    """
    source = SOURCES[noun]
    if caller.role not in source.roles:
        raise ApiError(HTTPStatus.FORBIDDEN, f"role {caller.role} may not have this")
    values = {**caller.scope, **caller.org_scope, **bounds(since, until), "limit": ROWS_MAX + 1}
    with tx.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(f"{source.query}\nLIMIT %(limit)s".encode(), values)
        assert cursor.description is not None
        columns = [column.name for column in cursor.description]
        rows = cursor.fetchall()
    if len(rows) > ROWS_MAX:
        raise unprocessable("query.from", f"there are more than {ROWS_MAX} rows: ask for a shorter time")
    headers = {"Content-Disposition": f'attachment; filename="{noun}.{form}"', "Cache-Control": "no-store"}
    return Response(write(form, noun, columns, rows), media_type=MEDIA_TYPES[form], headers=headers)
