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
    """

    reorder_at: Floats
    up_to: Floats
    cap: Floats | float = np.inf
    batch: Floats | float = 1.0


def order_units(position: Floats, rule: Rule) -> Floats:
    """Whole units to order now, never negative: the smallest batches that lift the position to ``up_to``."""
    missing = np.where(position > rule.reorder_at, 0.0, np.maximum(rule.up_to - position, 0.0))
    batches = np.ceil(missing / rule.batch - 1e-9)
    allowed = np.floor(np.asarray(rule.cap) / rule.batch) * rule.batch
    units: Floats = np.minimum(batches * rule.batch, allowed)
    return units
