"""What an order costs, and what each unit of its money is made of. Pure.

A line's net is packs times the price of a pack. A discount on the whole and the tax of each rate are computed once, on
sums, and shared out over the lines by largest remainders: so the total equals its explanations, to the last unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


def total_up(lines: Sequence[PricedLine], discount_basis_points: int = 0) -> Totals:
    """The money of an order with a discount on the whole. Tax is on what is left after the discount."""
    assert 0 <= discount_basis_points <= BASIS_POINTS
    net = sum(line.net_minor for line in lines)
    discount = portion(net, discount_basis_points, BASIS_POINTS)
    discounts = share_out(-discount, [line.net_minor for line in lines])
    adjustments = [
        Adjustment(
            line.line_no,
            "discount",
            part,
            {"basis_points": discount_basis_points, "of_minor": net, "discount_minor": -discount},
        )
        for line, part in zip(lines, discounts, strict=True)
        if part
    ]
    bases = {line.line_no: line.net_minor + part for line, part in zip(lines, discounts, strict=True)}
    for rate in sorted({line.tax_basis_points for line in lines} - {0}):
        taxed = [line for line in lines if line.tax_basis_points == rate]
        base = sum(bases[line.line_no] for line in taxed)
        tax = portion(base, rate, BASIS_POINTS)
        parts = share_out(tax, [bases[line.line_no] for line in taxed])
        adjustments += [
            Adjustment(line.line_no, "tax", part, {"basis_points": rate, "of_minor": base, "tax_minor": tax})
            for line, part in zip(taxed, parts, strict=True)
            if part
        ]
    return Totals(net, tuple(adjustments))


def invoice_part(gross_minor: int, units: int, invoiced_minor: int, shipped_units: int) -> int:
    """What to invoice for a line of ``units`` once ``shipped_units`` have left, less what was invoiced before.

    Parts sum to the line's gross when all has left, whatever the steps.
    """
    assert 0 <= shipped_units <= units
    return portion(gross_minor, shipped_units, units) - invoiced_minor
