"""/v1/counts, /v1/recon-cases and /v1/stock-periods: where people check the books, and close them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, Response

from platform_api.kit.auth import Caller, Head, Principal
from platform_api.kit.conditions import ExpectedVersion, etag, stale
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import (
    CHANGE_RESPONSES,
    COMMON_RESPONSES,
    NOT_FOUND_RESPONSE,
    ApiError,
    not_found,
    unprocessable,
)
from platform_api.kit.idempotency import CREATE_RESPONSES, Made, OnceOnly
from platform_api.kit.keys import new_key
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.work import Router
from platform_api.stock import counting_queries as queries
from platform_api.stock import moving
from platform_api.stock import queries as stock_queries
from platform_api.stock.ledger import Move, hold, post
from platform_api.stock.models import Count, Counted, CountReasons, CountRequest, Period, PeriodRequest, ReconCase
from platform_api.stock.parameters import Controller, Mover, require_place, require_skus, told
from platform_api.stock.rules import ADJUST, PHYSICAL, MoveKind
from platform_api.stock.valuing import Leg

router = Router(tags=["stock"], responses=COMMON_RESPONSES)

Row = Mapping[str, Any]


@router.get("/v1/counts", summary="List counts")
def list_counts(caller: Caller, tx: Tx, page: Paging) -> Listing[Count]:
    """Counts, the newest first."""
    (after,) = page.after("counts", tuple[UUID]) or (None,)
    rows = tx.execute(queries.COUNTS, {**caller.scope, "after": after, "limit": page.limit + 1}).fetchall()
    return page.listing("counts", rows, key=lambda row: (row["count_id"],), item=_count)


@router.get("/v1/counts/{count_id}", summary="Read a count", responses=NOT_FOUND_RESPONSE)
def read_count(count_id: UUID, caller: Caller, tx: Tx, response: Response) -> Count:
    """One count."""
    return _answer(tx, caller, count_id, response)


@router.post(
    "/v1/counts",
    summary="Ask for a count",
    status_code=201,
    response_model=Count,
    responses={**CREATE_RESPONSES, **NOT_FOUND_RESPONSE},
)
def create_count(body: CountRequest, caller: Mover, tx: Tx, once: OnceOnly) -> Response:
    """A blind count: it names SKUs and not what is booked of them."""
    return once.answer(body, lambda: _create(tx, caller, body))


@router.put("/v1/counts/{count_id}/lines", summary="Note what was counted", responses=CHANGE_RESPONSES)
def write_lines(count_id: UUID, body: Counted, caller: Mover, tx: Tx, response: Response) -> Count:
    """Counted so far; SKUs that nobody expected may be among them. The newest word on a SKU counts.

    Several people may count at once. Each word raises the ETag: nobody submits what they have not seen.
    """
    _lock(tx, caller, count_id, None, "open")
    require_skus(tx, caller, [line.sku for line in body.lines])
    place = {"tenant_id": caller.tenant_id, "count_id": count_id}
    with tx.cursor() as cursor:
        cursor.executemany(queries.WRITE_LINE, [{**place, **line.model_dump()} for line in body.lines])
    tx.execute(queries.BUMP, place)
    return _answer(tx, caller, count_id, response)


@router.post("/v1/counts/{count_id}:submit", summary="Submit a count", responses=CHANGE_RESPONSES)
def submit(count_id: UUID, caller: Mover, version: ExpectedVersion, tx: Tx, response: Response) -> Count:
    """All is counted, as of now."""
    _lock(tx, caller, count_id, version, "open")
    place = {"tenant_id": caller.tenant_id, "count_id": count_id}
    missing = [row["sku"] for row in tx.execute(queries.MISSING, place)]
    if missing:
        raise ApiError(HTTPStatus.CONFLICT, f"not counted yet: {', '.join(missing[:10])}")
    tx.execute(queries.SUBMIT, {**place, "now": datetime.now(UTC), "user_id": caller.user_id})
    return _answer(tx, caller, count_id, response)


@router.post("/v1/counts/{count_id}:post", summary="Book a count", responses=CHANGE_RESPONSES)
def post_count(  # one argument a part of the request
    count_id: UUID,
    caller: Controller,
    version: ExpectedVersion,
    tx: Tx,
    response: Response,
    explained: Annotated[CountReasons | None, Body()] = None,
) -> Count:
    """Differences are booked as of the time of the count; each needs its reason, by then or now.

    A SKU of which a later count is booked already stays as that one found it: its ``booked`` stays null. Where the
    month of the count is closed, the differences are booked today.
    """
    row = _lock(tx, caller, count_id, version, "submitted")
    place = {"tenant_id": caller.tenant_id, "count_id": count_id}
    if explained is not None:
        _explain(tx, place, explained)
    now = datetime.now(UTC)
    with told():
        lines = _compare(tx, caller, place, row)
        _require_reasons(lines)
        _book(tx, caller, count_id, row, lines, now)
    for line in lines:
        tx.execute(queries.KEEP_BOOKED, {**place, "sku": line["sku"], "booked": line["booked"]})
    tx.execute(queries.CLOSE_CASES, place)
    tx.execute(queries.END, {**place, "state": "posted", "now": now, "user_id": caller.user_id})
    return _answer(tx, caller, count_id, response)


@router.post("/v1/counts/{count_id}:cancel", summary="Cancel a count", responses=CHANGE_RESPONSES)
def cancel(count_id: UUID, caller: Controller, version: ExpectedVersion, tx: Tx, response: Response) -> Count:
    """Nothing of it is booked."""
    _lock(tx, caller, count_id, version, "open", "submitted")
    place = {"tenant_id": caller.tenant_id, "count_id": count_id}
    tx.execute(queries.CLOSE_CASES, place)
    tx.execute(queries.END, {**place, "state": "cancelled", "now": None, "user_id": caller.user_id})
    return _answer(tx, caller, count_id, response)


@router.get("/v1/recon-cases", summary="List where shelf and books differ")
def list_cases(caller: Caller, tx: Tx, page: Paging) -> Listing[ReconCase]:
    """Differences that were found, the newest first."""
    (after,) = page.after("recon-cases", tuple[UUID]) or (None,)
    rows = tx.execute(queries.CASES, {**caller.scope, "after": after, "limit": page.limit + 1}).fetchall()
    return page.listing("recon-cases", rows, key=lambda row: (row["case_id"],), item=_case)


@router.get("/v1/stock-periods", summary="List closed months")
def list_periods(caller: Caller, tx: Tx, page: Paging) -> Listing[Period]:
    """Months into which nothing is booked any more, the newest first."""
    (after,) = page.after("stock-periods", tuple[date]) or (None,)
    rows = tx.execute(
        queries.PERIODS, {"tenant_id": caller.tenant_id, "after": after, "limit": page.limit + 1}
    ).fetchall()
    return page.listing("stock-periods", rows, key=lambda row: (row["month"],), item=_period)


@router.post(
    "/v1/stock-periods", summary="Close a month", status_code=201, response_model=Period, responses=CREATE_RESPONSES
)
def close_period(body: PeriodRequest, caller: Head, tx: Tx, once: OnceOnly) -> Response:
    """From now on nothing is booked into it; late events of shelves are booked today. Closing again changes nothing."""
    return once.answer(body, lambda: _close(tx, caller, body.month.replace(day=1)))


def _create(tx: Connection, caller: Principal, body: CountRequest) -> Made:
    if require_place(tx, caller, body.at) not in PHYSICAL:
        raise unprocessable("body.at", "holds no stock")
    require_skus(tx, caller, body.skus)
    place = {"tenant_id": caller.tenant_id, "location": body.at, "count_id": new_key()}
    skus = body.skus or [row["sku"] for row in tx.execute(queries.SKUS_AT, place)]
    tx.execute(queries.INSERT_COUNT, {**place, "reason": body.reason, "user_id": caller.user_id})
    with tx.cursor() as cursor:
        cursor.executemany(queries.INSERT_LINE, [{**place, "sku": sku} for sku in skus])
    made = tx.execute(queries.COUNT, {**caller.scope, **place}).fetchone()
    assert made is not None
    return _count(made), {"Location": f"/v1/counts/{place['count_id']}", "ETag": etag(1)}


def _close(tx: Connection, caller: Principal, month: date) -> Made:
    if month >= datetime.now(UTC).date().replace(day=1):
        raise ApiError(HTTPStatus.CONFLICT, "a month is closed when it is over")
    place = {"tenant_id": caller.tenant_id, "month": month}
    tx.execute(stock_queries.HOLD_PERIODS, place)
    tx.execute(queries.CLOSE_PERIOD, {**place, "user_id": caller.user_id})
    row = tx.execute(queries.PERIOD, place).fetchone()
    assert row is not None
    return _period(row), {}


def _explain(tx: Connection, place: Row, explained: CountReasons) -> None:
    counted = {row["sku"] for row in tx.execute(queries.COUNTED, place)}
    for sku, reason in explained.reasons.items():
        if sku not in counted:
            raise unprocessable("body.reasons", f"is not in this count: {sku}")
        tx.execute(queries.EXPLAIN, {**place, "sku": sku, "reason": reason})


def _compare(tx: Connection, caller: Principal, place: Row, count: Row) -> list[Row]:
    """Lines that this count has the word on, with what was booked; nobody books there until it is posted."""
    skus = [row["sku"] for row in tx.execute(queries.COUNTED, place)]
    hold(tx, caller.tenant_id, [(count["location_id"], sku) for sku in skus])
    asked = {**place, "location": count["location_id"], "counted_at": count["counted_at"]}
    return [line for line in tx.execute(queries.BOOKED, asked) if not line["counted_again"]]


def _require_reasons(lines: Sequence[Row]) -> None:
    unexplained = [
        f"{line['sku']} (counted {line['counted']}, booked {line['booked']})"
        for line in lines
        if line["counted"] != line["booked"] and not line["reason"]
    ]
    if unexplained:
        raise ApiError(HTTPStatus.CONFLICT, f"differences need a reason: {', '.join(unexplained[:10])}")


def _book(tx: Connection, caller: Principal, count_id: UUID, row: Row, lines: Sequence[Row], now: datetime) -> None:
    legs = []
    for line in lines:
        difference = line["counted"] - line["booked"]
        if difference:
            at, sku = row["location_id"], line["sku"]
            legs += [Leg(at, sku, difference), Leg(ADJUST, sku, -difference)]
    if legs:
        balances = hold(tx, caller.tenant_id, [(leg.location, leg.sku) for leg in legs])
        move = Move(
            kind=MoveKind.COUNT,
            happened_at=row["counted_at"],
            legs=moving.fefo_legs(tx, caller.tenant_id, legs, balances),
            source="count",
            source_event_id=str(count_id),
            reason="; ".join(f"{line['sku']}: {line['reason']}" for line in lines if line["reason"])[:500],
            reference=str(count_id),
            user_id=caller.user_id,
            late=True,
        )
        post(tx, caller.tenant_id, move, now)


def _lock(tx: Connection, caller: Principal, count_id: UUID, version: int | None, *states: str) -> Row:
    row = tx.execute(queries.LOCK_COUNT, {**caller.scope, "count_id": count_id}).fetchone()
    if row is None:
        raise not_found("count")
    if version is not None and row["version"] != version:
        raise stale("count")
    if row["state"] not in states:
        raise ApiError(HTTPStatus.CONFLICT, f"the count is {row['state']}")
    return row


def _answer(tx: Connection, caller: Principal, count_id: UUID, response: Response) -> Count:
    row = tx.execute(queries.COUNT, {**caller.scope, "count_id": count_id}).fetchone()
    if row is None:
        raise not_found("count")
    response.headers["ETag"] = etag(row["version"])
    return _count(row)


def _count(row: Row) -> Count:
    same = {
        name: row[name] for name in ("state", "reason", "counted_at", "counted_by", "posted_at", "version", "lines")
    }
    return Count(id=row["count_id"], at=row["location_id"], created=row["created_at"], **same)


def _case(row: Row) -> ReconCase:
    same = {name: row[name] for name in ("sku", "state", "observed", "booked", "as_of", "windows")}
    return ReconCase(
        id=row["case_id"], location=row["location_id"], opened=row["opened_at"], count=row["count_id"], **same
    )


def _period(row: Row) -> Period:
    return Period(month=row["month"], closed=row["closed_at"], closed_by=row["closed_by"])
