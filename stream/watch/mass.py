"""``shrinkage``: units that left a slot and that no sale, return or refill explains. Pure.

What leaves the shelf is matched with what the tills sold, at most two hours apart. What nothing explains after an hour
is rare (an article carried elsewhere); a cluster of it that such chance would not bring is shrinkage.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from contracts.facts import AnomalyKind
from stream.watch.finding import HOUR_US, Finding, Place

LAG_US: Final = HOUR_US
"""A till tells of what left the shelf within this time."""
KEEP_US: Final = 2 * HOUR_US
PUT_BACK_US: Final = 10 * 60 * 1_000_000
PUT_BACK_UNITS: Final = 3
CLUSTER_US: Final = 3 * HOUR_US
UNITS_MIN: Final = 3
CHANCE: Final = 1e-6
"""Probability of a cluster by chance at which it is none."""
USUAL_START: Final = 0.3
"""Unexplained units a day before more is known."""
DAYS_MEMORY: Final = 14.0
MATCHED_MIN: Final = 0.7
SALES_MIN: Final = 10
"""Units that tills and shelf must have agreed on before a slot is judged."""


@dataclass(slots=True)
class Mass:
    """Balance of one slot."""

    gone: deque[tuple[int, int]] = field(default_factory=deque)
    sold: deque[tuple[int, int]] = field(default_factory=deque)
    unexplained: deque[tuple[int, int]] = field(default_factory=deque)
    matched: float = 0.0
    usual: float = USUAL_START
    share: float = 1.0
    judged_us: int = 0
    open: Finding | None = None

    def leave(self, t_us: int, units: int) -> None:
        """Units left the shelf."""
        rest = self._match(self.sold, units, t_us)
        if rest:
            self.gone.append((t_us, rest))

    def sell(self, t_us: int, units: int) -> None:
        """A till sold units. Returns (negative) come back to the shelf later, as a refill does."""
        if units <= 0:
            return
        rest = self._match(self.gone, units, t_us)
        if rest:
            self.sold.append((t_us, rest))

    def arrive(self, t_us: int, units: int) -> int:
        """Units came to the shelf; returns those that are no put-back."""
        if units <= PUT_BACK_UNITS:
            while units and self.gone and t_us - self.gone[-1][0] <= PUT_BACK_US:
                at, here = self.gone.pop()
                if here > units:
                    self.gone.append((at, here - units))
                    return 0
                units -= here
        return units

    def forget(self) -> None:
        """Nobody knows what happened for a while: begin anew."""
        self.gone.clear()
        self.sold.clear()
        self.unexplained.clear()

    def judge(self, now_us: int, place: Place, strictness: float) -> Finding | None:
        """Settle what is old enough; returns an anomaly that opens or closes."""
        days = (now_us - self.judged_us) / (24 * HOUR_US) if self.judged_us else 0.0
        self.judged_us = now_us
        while self.sold and now_us - self.sold[0][0] > KEEP_US:
            self.sold.popleft()
        settled = 0
        while self.gone and now_us - self.gone[0][0] > LAG_US:
            each = self.gone.popleft()
            self.unexplained.append(each)
            settled += each[1]
        while self.unexplained and now_us - self.unexplained[0][0] > CLUSTER_US + LAG_US:
            self.unexplained.popleft()
        units = sum(each for _, each in self.unexplained)
        if self.open is not None:
            if not self.unexplained:
                found, self.open = self.open, None
                return found.closed(found.detected_us)
            return None
        is_judged = self.matched >= SALES_MIN and self.share >= MATCHED_MIN
        expected = self.usual * (CLUSTER_US / (24 * HOUR_US))
        if (
            is_judged
            and units >= UNITS_MIN * strictness
            and poisson_tail(units, expected) < CHANCE ** (strictness**0.5)
        ):
            self.open = self._finding(now_us, place, units, expected)
            return self.open
        if settled <= UNITS_MIN or not is_judged:
            rate = min(1.0, days / DAYS_MEMORY)
            self.usual += min(settled, UNITS_MIN) / DAYS_MEMORY - rate * self.usual
            self.usual = max(self.usual, 0.05)
        if settled:
            self.share += 0.02 * (0.0 - self.share) * min(settled, UNITS_MIN)
        return None

    def _match(self, others: deque[tuple[int, int]], units: int, t_us: int) -> int:
        while units and others:
            at, there = others[0]
            if t_us - at > KEEP_US:
                others.popleft()
                continue
            taken = min(units, there)
            units -= taken
            self.matched += taken
            self.share += 0.02 * (1.0 - self.share) * taken
            if there > taken:
                others[0] = (at, there - taken)
            else:
                others.popleft()
        return units

    def _finding(self, now_us: int, place: Place, units: int, expected: float) -> Finding:
        return Finding(
            AnomalyKind.SHRINKAGE, place, self.unexplained[0][0], now_us, round(min(1.0, 0.4 + units / 20.0), 3),
            round(1.0 - poisson_tail(units, expected), 6),
            {"units": units, "usual_unexplained_a_day": round(self.usual, 2), "share_explained": round(self.share, 3),
             "left": [{"t_ms": at // 1000, "units": each} for at, each in list(self.unexplained)[:10]]},
        )  # fmt: skip


def poisson_tail(count: int, mean: float) -> float:
    """Probability of ``count`` or more at a mean."""
    term = total = math.exp(-mean)
    for n in range(1, count):
        term *= mean / n
        total += term
    return max(0.0, 1.0 - total)
