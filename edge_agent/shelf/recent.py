"""What happened at a slot lately and may be undone: sales whose units come back, refills that were none. Pure."""

import math
from collections import deque
from typing import Final, NamedTuple

PUT_BACK_MS: Final = 21_000
"""20 s from hand to hand, and a second for the hands."""
KEPT_MAX: Final = 16
UNDO_MS: Final = 120_000
UNDO_MANY_MS: Final = 600_000
UNDO_UNITS: Final = 3
"""A rise of so many units that is undone as a whole was no refill; fewer may well be bought at once."""
UNDO_MANY_UNITS: Final = 6
UNSURE_CONF: Final = 0.95
SURE_CONF: Final = 0.985
"""A refill of fewer than many units that was so sure is not undone by a purchase of as many."""


class Change(NamedTuple):
    """An event that may be undone; ``units`` without sign."""

    id: str
    t_ms: int
    units: int
    delta_g: float
    conf: float


class Recent:
    """Sales and the last refill."""

    def __init__(self) -> None:
        self._sales: deque[Change] = deque(maxlen=KEPT_MAX)
        self._refill: Change | None = None

    def sold(self, sale: Change) -> None:
        """Remember a sale."""
        self._sales.append(sale)

    def refilled(self, refill: Change) -> None:
        """Remember a refill, the last one only."""
        self._refill = refill

    def sale_for(self, units: int, t_ms: int) -> Change | None:
        """The latest sale that a rise of ``units`` at ``t_ms`` may be the return of."""
        if units > 0:
            for sale in reversed(self._sales):
                if t_ms - sale.t_ms <= PUT_BACK_MS and sale.units >= units:
                    return sale
        return None

    def put_back(self, sale: Change, units: int) -> None:
        """So many units of a sale have come back."""
        self._sales.remove(sale)
        if sale.units > units:
            self._sales.append(sale._replace(units=sale.units - units))

    def refill_undone(self, units: int, delta_g: float, within_g: float, t_ms: int) -> Change | None:
        """The refill that a drop undoes, to the gram. It is forgotten."""
        refill = self._refill
        if refill is None or refill.units != units or abs(delta_g + refill.delta_g) > within_g:
            return None
        long_ms, conf = UNDO_MS, UNSURE_CONF if units < UNDO_UNITS else SURE_CONF
        if units >= UNDO_MANY_UNITS:
            long_ms, conf = UNDO_MANY_MS, math.inf
        if t_ms - refill.t_ms > long_ms or refill.conf >= conf:
            return None
        self._refill = None
        return refill
