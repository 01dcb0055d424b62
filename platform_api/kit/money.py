"""Money: whole minor units of a currency, never a binary fraction. Pure.

``amount_minor`` is in the currency's smallest unit (fen, cent). What cannot be divided evenly is shared out by largest
remainders (Hamilton's method), so that parts always sum to their whole.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, model_validator

from platform_api.kit.inputs import Input

AMOUNT_MAX_MINOR: Final = 10**15
"""Sums of thousands of such amounts fit a bigint."""
BASIS_POINTS: Final = 10_000
CURRENCY_PATTERN: Final = r"^[A-Z]{3}$"
AMOUNT_PATTERN: Final = r"^-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,3})?$"

_DIGITS: Final = {"JPY": 0, "KRW": 0, "VND": 0, "BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3}
"""ISO 4217 minor units that are not 2."""
_AMOUNT: Final = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?")

Currency = Annotated[str, Field(pattern=CURRENCY_PATTERN)]


class MoneyError(ValueError):
    """An amount that its currency cannot express, or that is beyond AMOUNT_MAX_MINOR."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of a currency."""

    amount_minor: int
    currency: str


class MoneyText(Input):
    """Money as JSON shows it: a decimal text with as many places as the currency has."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [{"amount": "12.30", "currency": "CNY"}]}
    )

    amount: Annotated[str, Field(pattern=AMOUNT_PATTERN, max_length=20)]
    currency: Currency

    @classmethod
    def of(cls, amount_minor: int, currency: str) -> Self:
        """Text of an amount: what is there is shown, also a sum that is beyond what may be told."""
        return cls.model_construct(amount=format_minor(amount_minor, currency), currency=currency)

    @property
    def minor(self) -> int:
        """The amount in minor units."""
        return parse_minor(self.amount, self.currency)

    @model_validator(mode="after")
    def _expressible(self) -> Self:
        parse_minor(self.amount, self.currency)
        return self


def digits_of(currency: str) -> int:
    """Decimal places of a currency (ISO 4217)."""
    return _DIGITS.get(currency, 2)


def parse_minor(amount: str, currency: str) -> int:
    """Minor units of a decimal text. Raises MoneyError for more places than the currency has."""
    found = _AMOUNT.fullmatch(amount)
    if found is None:
        msg = f"{amount!r} is no amount"
        raise MoneyError(msg)
    sign, whole, places = found[1], found[2], found[3] or ""
    digits = digits_of(currency)
    if len(places.rstrip("0")) > digits:
        msg = f"{currency} has {digits} decimal places"
        raise MoneyError(msg)
    minor = int(whole + places[:digits].ljust(digits, "0"))
    if minor > AMOUNT_MAX_MINOR:
        msg = f"an amount is at most {format_minor(AMOUNT_MAX_MINOR, currency)}"
        raise MoneyError(msg)
    return -minor if sign else minor


def format_minor(amount_minor: int, currency: str) -> str:
    """Decimal text of minor units."""
    digits = digits_of(currency)
    sign = "-" if amount_minor < 0 else ""
    text = str(abs(amount_minor)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else f"{sign}{text}"


def portion(amount_minor: int, numerator: int, denominator: int) -> int:
    """``amount * numerator / denominator`` to the nearest minor unit, halves away from zero.

    ``denominator`` is positive. For a rate in basis points it is BASIS_POINTS.
    """
    assert denominator > 0
    product = amount_minor * numerator
    rounded = (2 * abs(product) + denominator) // (2 * denominator)
    return -rounded if product < 0 else rounded


def share_out(total_minor: int, weights: Sequence[int]) -> list[int]:
    """Parts of a total in proportion to weights (not negative): whole units whose sum is the total.

    Hamilton's method: each gets its quota rounded down, the units left over go to the largest remainders, the earlier
    of equal ones first. When all weights are 0 they count as equal. Raises ValueError without weights for a total.
    """
    if not weights:
        if total_minor:
            msg = "there is nobody to share with"
            raise ValueError(msg)
        return []
    assert all(weight >= 0 for weight in weights)
    counted = list(weights) if any(weights) else [1] * len(weights)
    whole = sum(counted)
    size = abs(total_minor)
    parts = [size * weight // whole for weight in counted]
    left = size - sum(parts)
    by_remainder = sorted(range(len(counted)), key=lambda index: (-(size * counted[index] % whole), index))
    for index in by_remainder[:left]:
        parts[index] += 1
    return [-part for part in parts] if total_minor < 0 else parts
