"""What finance takes and gives over HTTP."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from platform_api.finance.service import EntryKind
from platform_api.kit.inputs import Input, Name, Text
from platform_api.kit.money import MoneyText


class CreditRequest(Input):
    """How far a dealer may owe. ``auto_approve``: orders within the credit need nobody's approval."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"limit": {"amount": "50000.00", "currency": "CNY"}, "auto_approve": True}]},
    )

    limit: MoneyText
    auto_approve: bool = False

    @model_validator(mode="after")
    def _not_negative(self) -> Self:
        if self.limit.minor < 0:
            msg = "a limit is not negative"
            raise ValueError(msg)
        return self


class CreditAccount(BaseModel):
    """What a dealer owes, has ordered, has paid ahead, and may still order (negative: beyond the limit)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "org": "dealer-east",
                    "currency": "CNY",
                    "limit": {"amount": "50000.00", "currency": "CNY"},
                    "receivable": {"amount": "1200.00", "currency": "CNY"},
                    "committed": {"amount": "271.20", "currency": "CNY"},
                    "deposit": {"amount": "0.00", "currency": "CNY"},
                    "free": {"amount": "48528.80", "currency": "CNY"},
                    "auto_approve": True,
                    "version": 1,
                }
            ]
        }
    )

    org: str
    currency: str
    limit: MoneyText
    receivable: MoneyText
    committed: MoneyText
    deposit: MoneyText
    free: MoneyText
    auto_approve: bool
    version: int


class PaymentRequest(Input):
    """Money that came in: for what is owed, or ahead (``deposit``). ``reference`` names it at the bank, once."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "org": "dealer-east",
                    "amount": {"amount": "500.00", "currency": "CNY"},
                    "reference": "bank 2026-01-05/17",
                }
            ]
        },
    )

    org: Name
    amount: MoneyText
    reference: Annotated[Text, StringConstraints(min_length=1)]
    deposit: bool = False

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if self.amount.minor <= 0:
            msg = "a payment is positive"
            raise ValueError(msg)
        return self


class Receivable(BaseModel):
    """A change of what is owed: positive when more is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "018f3b1e-0000-7000-8000-000000000007",
                    "org": "dealer-east",
                    "kind": "invoice",
                    "amount": {"amount": "271.20", "currency": "CNY"},
                    "order": "018f3b1e-0000-7000-8000-000000000006",
                    "reference": "",
                    "at": "2026-01-05T08:12:31Z",
                }
            ]
        }
    )

    id: UUID
    org: str
    kind: EntryKind
    amount: MoneyText
    order: UUID | None
    reference: str
    at: datetime
