"""(r, Q): whenever the position falls to r, order Q. Exact for Poisson demand, continuous review, backlogs. Pure.

Federgruen and Zheng (1992), "An efficient algorithm for computing an optimal (r, Q) policy".
"""

from typing import Final, NamedTuple

from stream.policy.demand_law import poisson

LOT_MAX: Final = 1_000_000


class ReorderQuantity(NamedTuple):
    """Reorder point and lot in units, and the long-run cost a period, money."""

    reorder_point: int
    lot: int
    cost: float


def best_reorder_quantity(
    rate: float, lead_time: float, holding: float, penalty: float, order_cost: float
) -> ReorderQuantity:
    """The best (r, Q) for Poisson demand of ``rate`` units a period; all above 0, money a unit and period or an order.

    The cost of a lot is the order's share and the mean of the costs of the positions that it passes through, which
    are the cheapest positions there are: they are added one by one for as long as that lowers the mean.
    """
    assert min(rate, lead_time, holding, penalty, order_cost) > 0
    law = poisson(rate * lead_time)
    low = high = law.quantile(penalty / (penalty + holding))
    total = order_cost * rate + law.cost(low, holding, penalty)
    best, lot = total, 1
    below, above = law.cost(low - 1, holding, penalty), law.cost(high + 1, holding, penalty)
    while min(below, above) < best:
        assert lot < LOT_MAX
        if below <= above:
            low, total = low - 1, total + below
            below = law.cost(low - 1, holding, penalty)
        else:
            high, total = high + 1, total + above
            above = law.cost(high + 1, holding, penalty)
        lot += 1
        best = total / lot
    return ReorderQuantity(low - 1, lot, best)
