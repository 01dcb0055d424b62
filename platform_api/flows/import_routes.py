"""/v1/imports: a file is uploaded and checked, then written: all of it, or nothing."""

from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

from anyio import from_thread
from fastapi import Depends, Request, Response
from psycopg.types.json import Jsonb

from platform_api.flows.importing import Author, import_file
from platform_api.imports import batch_queries as queries
from platform_api.imports.models import FaultShown, Import, KindName, Upload
from platform_api.imports.service import Outcome
from platform_api.kit.auth import Principal, Role, require
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import (
    COMMON_RESPONSES,
    NOT_FOUND_RESPONSE,
    ApiError,
    FieldProblem,
    InputError,
    not_found,
    unprocessable,
)
from platform_api.kit.idempotency import CREATE_RESPONSES, Made, OnceOnly
from platform_api.kit.keys import new_key
from platform_api.kit.nouns import DOCUMENTS, Kind
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.places import UPLOADS
from platform_api.kit.quotas import Quota, quota_of
from platform_api.kit.work import Router

router = Router(tags=["files"], responses=COMMON_RESPONSES)

ROWS_MAX: Final = 50_000
"""Of an upload: it is written within the time of one request. The command line takes more."""
DOCUMENT_ROWS_MAX: Final = 2_000
"""The same of documents: until all are posted, others wait for the stock and credit that they touch."""
STAGED_MAX: Final = 20
"""Files of a tenant that wait to be committed: a newer one takes the place of the oldest."""
FAULTS_TOLD: Final = 200
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
COUNTED: Final = {
    Kind.ORGS: (Quota.ORGS, queries.COUNT_ORGS),
    Kind.PRICE_LISTS: (Quota.PRICE_LISTS, queries.COUNT_LISTS),
}
BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "CSV in UTF-8, or an XLSX workbook, with a header; the column `tenant` may be left out",
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "sku,name_en,unit_weight_g,pack_units\ntea-500,Green tea,520,12\n",
            },
            XLSX: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}

Row = Mapping[str, Any]


async def of_the_whole(caller: Annotated[Principal, Depends(require(Role.HQ))]) -> Principal:
    """Headquarters; a file is of the whole tenant, and so must be who brings it. Raises ApiError (403)."""
    if caller.orgs is not None:
        raise ApiError(HTTPStatus.FORBIDDEN, "files are for people of the whole tenant, not of an organisation")
    return caller


Head = Annotated[Principal, Depends(of_the_whole)]


@router.get("/v1/imports", summary="List uploaded files")
def list_imports(caller: Head, tx: Tx, page: Paging) -> Listing[Import]:
    """Files and what became of them, the newest first."""
    (after,) = page.after("imports", tuple[UUID]) or (None,)
    values = {"tenant_id": caller.tenant_id, "after": after, "limit": page.limit + 1}
    rows = tx.execute(queries.BATCHES, values).fetchall()
    return page.listing("imports", rows, key=lambda row: (row["import_id"],), item=_shown)


@router.get("/v1/imports/{import_id}", summary="Read what is wrong with a file", responses=NOT_FOUND_RESPONSE)
def read_import(import_id: UUID, caller: Head, tx: Tx) -> Import:
    """One file, with each of its faults by row and column."""
    return _one(tx, caller, import_id)


@router.post(
    "/v1/imports",
    summary="Upload a file",
    status_code=201,
    responses=CREATE_RESPONSES,
    response_model=Import,
    openapi_extra=BODY,
)
def upload(kind: KindName, caller: Head, tx: Tx, once: OnceOnly, request: Request) -> Response:
    """Check a whole file of one kind, and say what it would do. Nothing is written before it is committed."""
    with UPLOADS.take():
        content = from_thread.run(request.body)
        told = Upload(kind=kind, sha256=sha256(content).hexdigest())
        return once.answer(told, lambda: _stage(tx, caller, kind, content))


@router.post(
    "/v1/imports/{import_id}:commit",
    summary="Write a file",
    responses={**NOT_FOUND_RESPONSE, 409: {**COMMON_RESPONSES[401], "description": "The file has faults"}},
)
def commit(import_id: UUID, caller: Head, tx: Tx) -> Import:
    """Check it again, and write all of it or nothing (422, with the rows). Committing again changes nothing."""
    place = {"tenant_id": caller.tenant_id, "import_id": import_id}
    row = tx.execute(queries.LOCK_BATCH, place).fetchone()
    if row is None:
        raise not_found("import")
    if row["state"] == "committed":
        return _one(tx, caller, import_id)
    if row["state"] == "refused":
        raise ApiError(HTTPStatus.CONFLICT, "the file has faults: mend it and upload it again")
    if row["content"] is None:
        raise ApiError(HTTPStatus.CONFLICT, "the file is too old: upload it again")
    kind = Kind(row["kind"])
    outcome = import_file(tx, kind, bytes(row["content"]), tenant=caller.tenant_id, author=_author(caller))
    if outcome.faults:
        raise InputError(
            [
                FieldProblem(
                    where=f"row {fault.line}" + (f".{fault.column}" if fault.column else ""), message=fault.text
                )
                for fault in outcome.faults[:FAULTS_TOLD]
            ]
        )
    _check_quota(tx, caller, kind)
    counts = {"rows": outcome.rows, "created": outcome.created, "updated": outcome.updated}
    tx.execute(queries.COMMIT_BATCH, {**place, **counts})
    return _one(tx, caller, import_id)


def _stage(tx: Connection, caller: Principal, kind: Kind, content: bytes) -> Made:
    if not content:
        raise unprocessable("body", "is empty")
    most = DOCUMENT_ROWS_MAX if kind in DOCUMENTS else ROWS_MAX
    outcome = import_file(
        tx, kind, content, tenant=caller.tenant_id, dry_run=True, author=_author(caller), rows_max=most
    )
    import_id = new_key()
    tx.execute(queries.INSERT_BATCH, _values(caller, import_id, kind, outcome, content))
    tx.execute(queries.KEEP_NEWEST, {"tenant_id": caller.tenant_id, "newest": STAGED_MAX})
    return _one(tx, caller, import_id), {"Location": f"/v1/imports/{import_id}"}


def _author(caller: Principal) -> Author:
    return Author(caller.login, caller.user_id)


def _values(caller: Principal, import_id: UUID, kind: Kind, outcome: Outcome, content: bytes) -> dict[str, Any]:
    faults = [{"row": fault.line, "column": fault.column, "message": fault.text} for fault in outcome.faults]
    return {
        "tenant_id": caller.tenant_id,
        "import_id": import_id,
        "kind": kind,
        "state": "refused" if faults else "staged",
        "content": None if faults else content,
        "rows": outcome.rows,
        "created": outcome.created,
        "updated": outcome.updated,
        "faults": Jsonb(faults),
        "user_id": caller.user_id,
    }


def _check_quota(tx: Connection, caller: Principal, kind: Kind) -> None:
    if kind not in COUNTED:
        return
    quota, query = COUNTED[kind]
    count = tx.execute(query, {"tenant_id": caller.tenant_id}).fetchone()
    assert count is not None
    maximum = quota_of(tx, caller.tenant_id, quota)
    if count["n"] > maximum:
        raise ApiError(
            HTTPStatus.FORBIDDEN, f"the tenant may have {maximum} {quota.replace('_', ' ')}, not {count['n']}"
        )


def _one(tx: Connection, caller: Principal, import_id: UUID) -> Import:
    row = tx.execute(queries.BATCH, {"tenant_id": caller.tenant_id, "import_id": import_id}).fetchone()
    if row is None:
        raise not_found("import")
    return _shown(row)


def _shown(row: Row) -> Import:
    same = {name: row[name] for name in ("kind", "state", "rows", "created", "updated")}
    return Import(
        id=row["import_id"],
        unchanged=0 if row["faults"] else row["rows"] - row["created"] - row["updated"],
        faults=[FaultShown(**fault) for fault in row["faults"]],
        uploaded=row["created_at"],
        committed=row["committed_at"],
        **same,
    )
