"""/v1/credit-accounts, /v1/payments and /v1/receivables."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Response

from platform_api.finance import queries, service
from platform_api.finance.models import CreditAccount, CreditRequest, PaymentRequest, Receivable
from platform_api.kit.auth import AnyHead, Principal, Role, require
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, ApiError, not_found
from platform_api.kit.filters import OrgName, OrgPath
from platform_api.kit.idempotency import CREATE_RESPONSES, Made, OnceOnly
from platform_api.kit.money import MoneyText
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.work import Router

router = Router(tags=["finance"], responses=COMMON_RESPONSES)

Row = Mapping[str, Any]
Reader = Annotated[Principal, Depends(require(Role.HQ, Role.OPS, Role.AUDITOR, Role.DEALER))]


@router.get("/v1/credit-accounts", summary="List credit")
def list_accounts(caller: Reader, tx: Tx, page: Paging) -> Listing[CreditAccount]:
    """What dealers owe and may still order, by organisation."""
    last = page.after("credit-accounts", tuple[str, str]) or (None, None)
    rows = tx.execute(
        queries.ACCOUNTS,
        {**caller.org_scope, "after_org": last[0], "after_currency": last[1], "limit": page.limit + 1},
    ).fetchall()
    return page.listing("credit-accounts", rows, key=lambda row: (row["org_id"], row["currency"]), item=_account)


@router.put("/v1/orgs/{org}/credit", summary="Set a dealer's credit", responses=NOT_FOUND_RESPONSE)
def put_account(org: OrgPath, body: CreditRequest, caller: AnyHead, tx: Tx) -> CreditAccount:
    """The limit in its currency, as a whole, so that there is no version to name."""
    place = {"tenant_id": caller.tenant_id, "org_id": org, "currency": body.limit.currency}
    if not caller.sees_org(org) or tx.execute(queries.ORG_EXISTS, place).fetchone() is None:
        raise not_found("organisation")
    tx.execute(queries.PUT_ACCOUNT, {**place, "limit_minor": body.limit.minor, "auto_approve": body.auto_approve})
    row = tx.execute(queries.ACCOUNT, place).fetchone()
    assert row is not None
    return _account(row)


@router.post(
    "/v1/payments",
    summary="Note a payment",
    status_code=201,
    response_model=CreditAccount,
    responses={**CREATE_RESPONSES, **NOT_FOUND_RESPONSE},
)
def note_payment(body: PaymentRequest, caller: AnyHead, tx: Tx, once: OnceOnly) -> Response:
    """Money that came in. A reference of the bank is noted once, whatever key it comes with."""
    return once.answer(body, lambda: _pay(tx, caller, body))


@router.get("/v1/receivables", summary="List what is owed and paid")
def list_entries(caller: Reader, tx: Tx, page: Paging, org: OrgName = None) -> Listing[Receivable]:
    """Invoices, payments and credit notes, the newest first."""
    (after,) = page.after("receivables", tuple[UUID]) or (None,)
    rows = tx.execute(
        queries.ENTRIES, {**caller.org_scope, "org_id": org, "after": after, "limit": page.limit + 1}
    ).fetchall()
    return page.listing("receivables", rows, key=lambda row: (row["entry_id"],), item=_entry)


def _pay(tx: Connection, caller: Principal, body: PaymentRequest) -> Made:
    place = {"tenant_id": caller.tenant_id, "org_id": body.org, "currency": body.amount.currency}
    if not caller.sees_org(body.org) or tx.execute(queries.ACCOUNT, place).fetchone() is None:
        raise not_found("credit account")
    noted = service.settle(
        tx,
        service.Debtor(caller.tenant_id, body.org, body.amount.currency),
        service.Entry(
            kind=service.EntryKind.DEPOSIT if body.deposit else service.EntryKind.PAYMENT,
            amount_minor=-body.amount.minor,
            source=f"bank:{body.reference}",
            reference=body.reference,
            user_id=caller.user_id,
        ),
    )
    if not noted:
        raise ApiError(HTTPStatus.CONFLICT, "a payment with this reference is noted already")
    row = tx.execute(queries.ACCOUNT, place).fetchone()
    assert row is not None
    return _account(row), {}


def _account(row: Row) -> CreditAccount:
    currency = row["currency"]
    free = row["limit_minor"] - row["receivable_minor"] - row["committed_minor"] + row["deposit_minor"]
    return CreditAccount(
        org=row["org_id"],
        currency=currency,
        limit=MoneyText.of(row["limit_minor"], currency),
        receivable=MoneyText.of(row["receivable_minor"], currency),
        committed=MoneyText.of(row["committed_minor"], currency),
        deposit=MoneyText.of(row["deposit_minor"], currency),
        free=MoneyText.of(free, currency),
        auto_approve=row["auto_approve"],
        version=row["version"],
    )


def _entry(row: Row) -> Receivable:
    return Receivable(
        id=row["entry_id"],
        org=row["org_id"],
        kind=row["kind"],
        amount=MoneyText.of(row["amount_minor"], row["currency"]),
        order=row["order_id"],
        reference=row["reference"],
        at=row["at"],
    )
