"""The one rule that every policy is a case of. Pure; arrays of any common shape."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """Order at or below ``reorder_at`` up to ``up_to``, units of inventory position (on hand + on order).

    ``cap`` units at most an order (capped base stock), whole multiples of ``batch``. Base stock: ``reorder_at`` equals
    ``up_to``, since nothing is missing at it. (s, S): ``reorder_at`` below ``up_to``. (r, Q): ``batch`` is Q.

    ``share`` 0 … 1 of what is missing beside the ``usual`` order is ordered at once, so that orders swing less
    (proportional order-up-to: Disney and Towill 2003); such a rule has ``reorder_at`` infinite.
    """

    reorder_at: Floats
    up_to: Floats
    cap: Floats | float = np.inf
    batch: Floats | float = 1.0
    share: Floats | float = 1.0
    usual: Floats | float = 0.0


def order_units(position: Floats, rule: Rule) -> Floats:
    """Whole units to order now, never negative: the smallest batches that lift the position to ``up_to``."""
    wanted = rule.share * (rule.up_to - position) + (1.0 - np.asarray(rule.share)) * rule.usual
    missing = np.where(position > rule.reorder_at, 0.0, np.maximum(wanted, 0.0))
    batches = np.ceil(missing / rule.batch - 1e-9)
    allowed = np.floor(np.asarray(rule.cap) / rule.batch) * rule.batch
    units: Floats = np.minimum(batches * rule.batch, allowed)
    return units
