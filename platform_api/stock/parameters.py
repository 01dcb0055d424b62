"""What the routes of stock share: who may, which place, and how the ledger's refusals are told."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends

from platform_api.kit.auth import Principal, Role, require
from platform_api.kit.db import Connection
from platform_api.kit.errors import ApiError, not_found, unprocessable
from platform_api.stock import queries
from platform_api.stock.ledger import ClosedPeriodError, NotEnoughError, StockError, UnknownPlaceError

Mover = Annotated[Principal, Depends(require(Role.HQ, Role.OPS, Role.DEALER, Role.STORE))]
"""Whoever may move what lies at their own sites."""
Controller = Annotated[Principal, Depends(require(Role.HQ, Role.OPS))]
"""Whoever may correct the books."""


def require_place(tx: Connection, caller: Principal, location: str) -> str:
    """Kind of a location that the caller sees. Raises ApiError (404)."""
    row = tx.execute(queries.LOCATION, {**caller.scope, "location": location}).fetchone()
    if row is None:
        raise not_found("location")
    return str(row["kind"])


def require_skus(tx: Connection, caller: Principal, skus: list[str]) -> dict[str, bool]:
    """Whether each SKU is kept by lot. Raises InputError (422) for one that there is not."""
    rows = tx.execute(queries.KNOWN_SKUS, {"tenant_id": caller.tenant_id, "skus": skus})
    known = {row["sku"]: bool(row["by_lot"]) for row in rows}
    for sku in skus:
        if sku not in known:
            raise unprocessable("body", f"no such SKU: {sku}")
    return known


@contextmanager
def told() -> Iterator[None]:
    """Tell what the ledger refuses as an answer of the API. Raises ApiError (404, 409)."""
    try:
        yield
    except UnknownPlaceError as error:
        raise not_found("location") from error
    except (NotEnoughError, ClosedPeriodError, StockError) as error:
        raise ApiError(HTTPStatus.CONFLICT, str(error)) from error
