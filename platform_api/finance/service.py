"""Grants credit, and notes what is owed and paid; for the flows that order, ship and return."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from platform_api.finance import queries
from platform_api.kit.db import Connection
from platform_api.kit.keys import new_key


class EntryKind(StrEnum):
    """Why what is owed changes. Stored, so names never change."""

    INVOICE = "invoice"
    PAYMENT = "payment"
    CREDIT_NOTE = "credit_note"
    DEPOSIT = "deposit"


@dataclass(frozen=True, slots=True)
class Debtor:
    """Who owes, in which currency."""

    tenant_id: str
    org_id: str
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A change of what is owed: positive when more is. ``source`` names the fact: it is noted once."""

    kind: EntryKind
    amount_minor: int
    source: str
    order_id: UUID | None = None
    reference: str = ""
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Whether credit was given, and whether the dealer's orders need nobody's approval."""

    given: bool
    auto_approve: bool


def commit(tx: Connection, who: Debtor, amount_minor: int, *, override: bool = False) -> Grant:
    """Take an amount from the dealer's credit, if it reaches; ``override`` takes it anyway."""
    row = tx.execute(queries.COMMIT, {**_key(who), "amount_minor": amount_minor, "override": override}).fetchone()
    if row is None and override:
        # Without an account there is no credit; whoever overrides that opens one of 0.
        tx.execute(queries.PUT_ACCOUNT, {**_key(who), "limit_minor": 0, "auto_approve": False})
        row = tx.execute(queries.COMMIT, {**_key(who), "amount_minor": amount_minor, "override": True}).fetchone()
    return Grant(row is not None, row is not None and bool(row["auto_approve"]))


def uncommit(tx: Connection, who: Debtor, amount_minor: int) -> None:
    """Give back what was committed and will not be shipped."""
    tx.execute(queries.UNCOMMIT, {**_key(who), "amount_minor": amount_minor})


def invoice(tx: Connection, who: Debtor, entry: Entry, *, override: bool = False) -> bool:
    """Turn what was committed into what is owed; False when the exposure is beyond the limit by now."""
    assert entry.kind is EntryKind.INVOICE
    values = {**_key(who), "amount_minor": entry.amount_minor, "override": override}
    if tx.execute(queries.INVOICE, values).rowcount == 0:
        return False
    noted = _note(tx, who, entry)
    assert noted, entry
    return True


def settle(tx: Connection, who: Debtor, entry: Entry) -> bool:
    """Note a payment, a credit note or a deposit; False when it was noted before or the dealer has no account."""
    if tx.execute(queries.ACCOUNT, _key(who)).fetchone() is None or not _note(tx, who, entry):
        return False
    deposit = -entry.amount_minor if entry.kind is EntryKind.DEPOSIT else 0
    receivable = 0 if entry.kind is EntryKind.DEPOSIT else entry.amount_minor
    tx.execute(queries.SETTLE, {**_key(who), "receivable_minor": receivable, "deposit_minor": deposit})
    return True


def _note(tx: Connection, who: Debtor, entry: Entry) -> bool:
    values = {
        **_key(who),
        "entry_id": new_key(),
        "kind": entry.kind,
        "amount_minor": entry.amount_minor,
        "source": entry.source,
        "order_id": entry.order_id,
        "reference": entry.reference,
        "user_id": entry.user_id,
    }
    return tx.execute(queries.ADD_ENTRY, values).rowcount == 1


def _key(who: Debtor) -> dict[str, object]:
    return {"tenant_id": who.tenant_id, "org_id": who.org_id, "currency": who.currency}
