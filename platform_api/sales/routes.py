"""POST and GET /v1/pos-sales."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends

from platform_api.kit.auth import Caller, Principal, Role, require
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import COMMON_RESPONSES, ApiError, FieldProblem, InputError
from platform_api.kit.filters import Name, Since, SkuName, Until, bounds
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.times import CLOCK_AHEAD_MAX
from platform_api.kit.work import Router
from platform_api.sales import queries
from platform_api.sales.models import NewPosSale, NewPosSales, PosIntake, PosSale

router = Router(tags=["sales"], responses=COMMON_RESPONSES)

Teller = Annotated[Principal, Depends(require(Role.HQ, Role.OPS, Role.DEALER, Role.STORE, Role.DEVICE))]
PROBLEMS_MAX: Final = 50
CONFLICT_RESPONSE: Final[dict[int | str, dict[str, Any]]] = {
    409: {**COMMON_RESPONSES[401], "description": "A line is stored already, with other contents"}
}


@router.post("/v1/pos-sales", summary="Tell sales of tills", responses=CONFLICT_RESPONSE)
def add_sales(body: NewPosSales, caller: Teller, tx: Tx) -> PosIntake:
    """Store lines of receipts: all of them or none. Telling a line again changes nothing, so any call may be repeated.

    A line that is stored with another SKU, number of units or time is a conflict (409): a till corrects itself with
    a new line.
    """
    sales = body.sales
    problems = [*_mistakes(sales, datetime.now(UTC)), *_unknown(tx, caller, sales)]
    if problems:
        raise InputError(problems[:PROBLEMS_MAX])
    parameters = {
        "tenant_id": caller.tenant_id,
        "limit": PROBLEMS_MAX,
        **{name: [getattr(sale, name) for sale in sales] for name in NewPosSale.model_fields},
    }
    created = tx.execute(queries.ADD, parameters).rowcount
    differing = [row["place"] - 1 for row in tx.execute(queries.DIFFERENT, parameters)]
    if differing:
        places = ", ".join(f"sales.{place}" for place in differing)
        raise ApiError(HTTPStatus.CONFLICT, f"told before with other contents: {places}")
    return PosIntake(received=len(sales), created=created, known=len(sales) - created)


@router.get("/v1/pos-sales", summary="List sales of tills")
def list_sales(
    caller: Caller,
    tx: Tx,
    page: Paging,
    site: Name = None,
    sku: SkuName = None,
    since: Since = None,
    until: Until = None,
) -> Listing[PosSale]:
    """Lines of receipts, those received last first; ``from`` and ``to`` bound when they were sold."""
    (last,) = page.after("pos-sales", tuple[int]) or (None,)
    rows = tx.execute(
        queries.POS_SALES,
        {
            **caller.scope,
            **bounds(since, until),
            "site": site,
            "sku": sku,
            "after_id": last,
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing("pos-sales", rows, key=lambda row: (row["id"],), item=_sale)


def _mistakes(sales: Sequence[NewPosSale], now: datetime) -> list[FieldProblem]:
    """What is wrong with the lines by themselves: nothing was sold, or later than now, or a line that stands twice."""
    seen: set[tuple[str, str, int]] = set()
    found = []
    for place, sale in enumerate(sales):
        if sale.units == 0:
            found.append(
                FieldProblem(where=f"body.sales.{place}.units", message="nothing was sold: leave the line out")
            )
        if sale.sold_at > now + CLOCK_AHEAD_MAX:
            message = "lies in the future: is the till's clock right, and its offset?"
            found.append(FieldProblem(where=f"body.sales.{place}.sold_at", message=message))
        key = (sale.site, sale.receipt, sale.line)
        if key in seen:
            found.append(FieldProblem(where=f"body.sales.{place}", message="this line stands here twice"))
        seen.add(key)
    return found


def _unknown(tx: Connection, caller: Principal, sales: Sequence[NewPosSale]) -> list[FieldProblem]:
    """Sites and SKUs that are not the caller's."""
    found = []
    for name, query in (("site", queries.SITES_KNOWN), ("sku", queries.SKUS_KNOWN)):
        wanted = sorted({getattr(sale, name) for sale in sales})
        rows = tx.execute(query, {**caller.scope, "names": wanted}).fetchall()
        known = {next(iter(row.values())) for row in rows}
        found += [
            FieldProblem(where=f"body.sales.{place}.{name}", message=f"no such {name}")
            for place, sale in enumerate(sales)
            if getattr(sale, name) not in known
        ]
    return found


def _sale(row: Mapping[str, Any]) -> PosSale:
    return PosSale(**row)
