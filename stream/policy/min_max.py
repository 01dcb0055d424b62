"""(s, S): on a review at or below s, order up to S. Exact for whole demand, backlogs. Pure.

Zheng and Federgruen (1991), "Finding optimal (s, S) policies is about as simple as evaluating a single policy".
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.policy.demand_law import DemandLaw

Floats = npt.NDArray[np.float64]

SPAN_MAX: Final = 100_000
"""Most units between s and S."""


class MinMax(NamedTuple):
    """``s``: order at or below it; ``up_to``: S. Units; the long-run cost a period is money."""

    s: int
    up_to: int
    cost: float


def best_min_max(demand: DemandLaw, holding: float, penalty: float, order_cost: float) -> MinMax:
    """The best (s, S) with reviews in every period and delivery at once; money a unit and period, or an order.

    With a lead time give ``demand`` of one period to ``best_min_max_over`` and the protection interval's beside it.
    """
    return best_min_max_over(demand, demand, holding, penalty, order_cost)


def best_min_max_over(
    demand: DemandLaw, protection: DemandLaw, holding: float, penalty: float, order_cost: float
) -> MinMax:
    """The same where an order has to last for ``protection``, demand of lead time + 1 periods."""
    assert min(holding, penalty, order_cost) > 0
    renewal = _Renewal(demand.probability)

    def cost_at(position: int) -> float:
        return protection.cost(position, holding, penalty)

    def cost_of(s: int, up_to: int) -> float:
        masses = renewal.masses(up_to - s)
        run = sum(masses[gap] * cost_at(up_to - gap) for gap in range(up_to - s))
        return (order_cost + run) / renewal.time(up_to - s)

    start = protection.quantile(penalty / (penalty + holding))
    s, best_up_to = start - 1, start
    while cost_of(s, best_up_to) > cost_at(s):
        s -= 1
    best = cost_of(s, best_up_to)
    up_to = best_up_to + 1
    while cost_at(up_to) <= best:
        assert up_to - s < SPAN_MAX
        if cost_of(s, up_to) < best:
            best_up_to = up_to
            while cost_of(s, best_up_to) <= cost_at(s + 1):
                s += 1
            best = cost_of(s, best_up_to)
        up_to += 1
    return MinMax(s, best_up_to, best)


class _Renewal:
    """Renewal mass and time of a demand: how long a position takes to fall by so many units."""

    def __init__(self, probability: Floats) -> None:
        assert probability[0] < 1
        self._probability = probability
        self._masses = [1.0 / (1.0 - float(probability[0]))]

    def masses(self, length: int) -> list[float]:
        """Expected periods spent at 0, 1, … ``length`` - 1 units below the start, before it falls further."""
        while len(self._masses) < length:
            gap = len(self._masses)
            reach = min(gap, len(self._probability) - 1)
            back = np.array(self._masses[gap - reach : gap][::-1])
            self._masses.append(float(self._probability[1 : reach + 1] @ back) * self._masses[0])
        return self._masses

    def time(self, length: int) -> float:
        """Expected periods until the position has fallen by ``length`` or more."""
        return sum(self.masses(length)[:length])
