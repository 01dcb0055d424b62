"""Shops that order by a policy and lose what they cannot sell. Pure; arrays of shape (series, variants).

A period: what was ordered ``lead_time`` periods ago arrives; on a review the position is raised; then demand; what is
missing is lost.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream.policy.rules import Rule, order_units

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Terms:
    """What a back-test assumes: times in periods, money a unit and period (holding), a lost unit, an order."""

    lead_time: int
    review: int
    holding: float
    penalty: float
    order_cost: float = 0.0

    @property
    def protection(self) -> int:
        """Periods that an order has to last for, its own included."""
        return self.lead_time + self.review

    @property
    def critical_ratio(self) -> float:
        """Share of protection intervals without a lack at the best stock of one period (newsvendor)."""
        return self.penalty / (self.penalty + self.holding)


@dataclass(frozen=True)
class Outcome:
    """One period of every shop, in units: ordered, on hand at the end, and lost."""

    ordered: Floats
    end_stock: Floats
    lost: Floats


class Shops:
    """Stock of series and variants of their policy, from an opening stock on; ``variants`` share the demand."""

    def __init__(self, opening: Floats, variants: int, lead_time: int) -> None:
        self._on_hand = np.repeat(opening[:, None], variants, axis=1)
        self._due = np.zeros((lead_time, len(opening), variants))
        self._on_order = np.zeros_like(self._on_hand)
        self._period = 0

    def pass_period(self, rule: Rule, review: Bools, units: Floats) -> Outcome:
        """Live through a period: ``review`` and demand ``units`` of each series (0 where there is none).

        The arrays of ``rule`` have shape (series, variants).
        """
        slot = self._period % len(self._due) if len(self._due) else 0
        if len(self._due):
            self._on_hand += self._due[slot]
            self._on_order -= self._due[slot]
        position = self._on_hand + self._on_order
        ordered = np.where(review[:, None], order_units(position, rule), 0.0)
        if len(self._due):
            self._due[slot] = ordered
            self._on_order += ordered
        else:
            self._on_hand += ordered
        sold = np.minimum(self._on_hand, units[:, None])
        self._on_hand = self._on_hand - sold
        self._period += 1
        return Outcome(ordered, self._on_hand, units[:, None] - sold)
