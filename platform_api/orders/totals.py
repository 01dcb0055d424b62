"""What an order costs, and what each unit of its money is made of. Pure.

A line's net is packs times the price of a pack. A discount on the whole and the tax of each rate are computed once, on
sums, and shared out over the lines by largest remainders: so the total equals its explanations, to the last unit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from platform_api.kit.money import BASIS_POINTS, portion, share_out


@dataclass(frozen=True, slots=True)
class PricedLine:
    """A line before discount and tax."""

    line_no: int
    packs: int
    unit_price_minor: int
    tax_basis_points: int

    @property
    def net_minor(self) -> int:
        """Packs times the price of one."""
        return self.packs * self.unit_price_minor


@dataclass(frozen=True, slots=True)
class Discount:
    """What is taken off, and why: a share in basis points, or an amount in minor units, the other being 0.

    An amount takes no more off than there is.
    """

    basis_points: int
    reason: str
    amount_minor: int = 0

    def of(self, base_minor: int) -> int:
        """Minor units that are taken off a sum."""
        assert 0 <= self.basis_points <= BASIS_POINTS
        assert self.amount_minor >= 0
        assert not (self.basis_points and self.amount_minor)
        return min(self.amount_minor, base_minor) or portion(base_minor, self.basis_points, BASIS_POINTS)


WHOLE: Final = 0
"""Stands for the whole order where lines have their numbers, from 1 on."""
NO_DISCOUNTS: Final[Mapping[int, Discount]] = {}


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What is added to a line (a tax) or taken from it (a discount), and why."""

    line_no: int
    kind: str
    amount_minor: int
    explanation: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Totals:
    """The money of an order: ``total_minor`` is the sum of lines' nets and of adjustments."""

    net_minor: int
    adjustments: tuple[Adjustment, ...]

    @property
    def adjustment_minor(self) -> int:
        """Sum of adjustments."""
        return sum(one.amount_minor for one in self.adjustments)

    @property
    def total_minor(self) -> int:
        """What is to be paid."""
        return self.net_minor + self.adjustment_minor


def total_up(lines: Sequence[PricedLine], discounts: Mapping[int, Discount] = NO_DISCOUNTS) -> Totals:
    """The money of an order. ``discounts`` by line number, WHOLE for the order.

    A line's discount is on its net, that of the whole on what is left of all lines, tax on what is left then.
    """
    adjustments: list[Adjustment] = []
    bases = {line.line_no: line.net_minor for line in lines}
    for line in lines:
        if line.line_no in discounts:
            _take(adjustments, bases, "line_discount", [line.line_no], discounts[line.line_no])
    if WHOLE in discounts:
        _take(adjustments, bases, "discount", list(bases), discounts[WHOLE])
    for rate in sorted({line.tax_basis_points for line in lines} - {0}):
        taxed = [line.line_no for line in lines if line.tax_basis_points == rate]
        base = sum(bases[number] for number in taxed)
        tax = portion(base, rate, BASIS_POINTS)
        parts = share_out(tax, [bases[number] for number in taxed])
        adjustments += [
            Adjustment(number, "tax", part, {"basis_points": rate, "of_minor": base, "tax_minor": tax})
            for number, part in zip(taxed, parts, strict=True)
            if part
        ]
    return Totals(sum(line.net_minor for line in lines), tuple(adjustments))


def _take(
    adjustments: list[Adjustment], bases: dict[int, int], kind: str, numbers: Sequence[int], given: Discount
) -> None:
    """Take a discount from lines, and from what is left of them."""
    base = sum(bases[number] for number in numbers)
    discount = given.of(base)
    share = {"amount_minor": given.amount_minor} if given.amount_minor else {"basis_points": given.basis_points}
    explanation = {**share, "of_minor": base, "discount_minor": -discount, "reason": given.reason}
    for number, part in zip(numbers, share_out(-discount, [bases[number] for number in numbers]), strict=True):
        if part:
            adjustments.append(Adjustment(number, kind, part, explanation))
            bases[number] += part


def invoice_part(gross_minor: int, units: int, invoiced_minor: int, shipped_units: int) -> int:
    """What to invoice for a line of ``units`` once ``shipped_units`` have left, less what was invoiced before.

    Parts sum to the line's gross when all has left, whatever the steps.
    """
    assert 0 <= shipped_units <= units
    return portion(gross_minor, shipped_units, units) - invoiced_minor


def credit_part(owed_minor: int, units: int, back_units: int) -> int:
    """What to credit of what is owed for ``units``, of which ``back_units`` were not accepted or came back.

    Never more than is owed, and all of it for the last unit: parts of one amount sum to it, whatever the steps.
    """
    assert 0 <= back_units <= units
    return portion(owed_minor, back_units, units) if back_units else 0
