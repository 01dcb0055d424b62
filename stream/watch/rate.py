"""``phantom_inventory`` and ``demand_shift``: sales that stop although there is stock, or change their level. Pure.

A slot's expected sales of an hour are its daily level times the site's profile of hours and weekdays. Sequential tests
(Poisson log likelihood ratios, restarted at 0) watch for more and for less; no sales at all is phantom inventory.
"""

import math
from dataclasses import dataclass, field
from typing import Final

from contracts.facts import AnomalyKind
from stream.watch.finding import HOUR_US, Finding, Place

DAY_H: Final = 24
LEARNING_DAYS: Final = 7
LEVEL_DAYS: Final = 14.0
SPREAD_DAYS: Final = 14.0
NOTHING: Final = 11.0
"""Sales that should have come since the last one, over the spread, at which a slot's stock is in doubt."""
FEWER: Final = 3.0
"""For each unit of evidence that sales had become fewer already, so much more is asked of a silence …"""
FEWER_MAX: Final = 1.5 * NOTHING
"""… at most."""
NOTHING_HOURS_MIN: Final = 6
MORE: Final = 1.7
LESS: Final = 0.5
EVIDENCE: Final = 10.0
STRANGE: Final = EVIDENCE / 3.0
"""Evidence, either way, from which on sales are not learnt: a slow slot would get used to them before it is told."""
EVIDENCE_BACK: Final = 5.0
SHIFT_DAYS_MAX: Final = 28
"""A new level that lasted so long is the usual one."""
LEVEL_MIN: Final = 1.0
"""Sales a day below which a slot's level says nothing."""


@dataclass(slots=True)
class Profile:
    """When a site sells: share by hour of the day, and by day of the week, of its mean."""

    hours: list[float] = field(default_factory=lambda: [0.0] * DAY_H)
    days: list[float] = field(default_factory=lambda: [0.0] * 7)
    day_counts: list[int] = field(default_factory=lambda: [0] * 7)

    def learn_hour(self, hour: int, units: float) -> None:
        """Add what the site sold in one hour of the day."""
        self.hours[hour] += 0.07 * (units - self.hours[hour]) if self.hours[hour] else units

    def learn_day(self, weekday: int, units: float) -> None:
        """Add what the site sold on one day."""
        self.day_counts[weekday] += 1
        rate = max(0.2, 1.0 / self.day_counts[weekday])
        self.days[weekday] += rate * (units - self.days[weekday])

    def share(self, hour_number: int) -> float:
        """Share of a mean day's sales in an hour, counted since 1970 by the site's clock."""
        total = sum(self.hours)
        hour = self.hours[hour_number % DAY_H] / total if total else 1.0 / DAY_H
        weekday = weekday_of(hour_number)
        known = [each for each, count in zip(self.days, self.day_counts, strict=True) if count]
        mean = sum(known) / len(known) if known else 0.0
        if mean <= 0.0 or not self.day_counts[weekday]:
            return hour
        # One week's day says little of its kind.
        trust = min(1.0, self.day_counts[weekday] / 4.0)
        return hour * (1.0 + trust * (self.days[weekday] / mean - 1.0))


@dataclass(slots=True)
class Rate:
    """Level of sales of one slot, units a day."""

    level: float = 0.0
    spread: float = 1.0
    days: float = 0.0
    since_sale: float = 0.0
    hours_since_sale: int = 0
    last_sale_us: int = 0
    up: float = 0.0
    down: float = 0.0
    up_since_us: int = 0
    down_since_us: int = 0
    down_sold: float = 0.0
    down_at_sale: float = 0.0
    day_sold: float = 0.0
    day_expected: float = 0.0
    back: float = 0.0
    shifted_sold: float = 0.0
    shifted_expected: float = 0.0
    phantom: Finding | None = None
    shift: Finding | None = None

    def sell(self, t_us: int, place: Place, units: int) -> Finding | None:
        """A sale; returns a phantom that it ends."""
        del place
        self.since_sale, self.hours_since_sale = 0.0, 0
        self.last_sale_us = max(t_us, self.last_sale_us)
        self.day_sold += units
        found, self.phantom = self.phantom, None
        return None if found is None else found.closed(t_us)

    def hour(  # noqa: PLR0913, PLR0917 - what one hour brought
        self, end_us: int, place: Place, sold: float, share: float, open_share: float, stock: int | None,
        strictness: tuple[float, float],
    ) -> list[Finding]:  # fmt: skip
        """Judge an hour in which the slot had ``stock`` (None: unknown) and nothing planned or broken.

        ``share`` of a mean day's sales lies in it; ``open_share`` of the hour, 0 … 1, the site was open.
        """
        expected = self.level * share
        self.days += 1.0 / DAY_H
        found: list[Finding] = []
        if self.days >= LEARNING_DAYS and self.level >= LEVEL_MIN:
            if self.phantom is None and self.shift is None:
                found += self._nothing(end_us, place, expected * open_share, stock, strictness[0])
            if self.phantom is None:
                found += self._shift(end_us, place, sold, expected, strictness[1])
        # What is beginning to look strange must not become the measure of itself.
        is_strange = self.since_sale > NOTHING * self.spread / 3.0 or max(self.up, self.down) > STRANGE
        if self.phantom is None and self.shift is None and not is_strange:
            self._learn(sold, share, expected)
        return found

    def skip(self) -> None:
        """An hour in which the slot was empty or promoted: its silence says nothing, and the next begins anew."""
        self.since_sale, self.hours_since_sale = 0.0, 0

    # ------------------------------------------------------------- the tests

    def _nothing(
        self, end_us: int, place: Place, expected: float, stock: int | None, strictness: float
    ) -> list[Finding]:  # fmt: skip
        if stock is not None and stock <= 0:
            self.since_sale, self.hours_since_sale = 0.0, 0
            return []
        self.since_sale += expected
        self.hours_since_sale += 1
        surprise = self.since_sale / self.spread
        needed = NOTHING + min(FEWER * self.down_at_sale, FEWER_MAX)
        if surprise < needed * strictness or self.hours_since_sale < NOTHING_HOURS_MIN or not self.last_sale_us:
            return []
        self.phantom = Finding(
            AnomalyKind.PHANTOM_INVENTORY, place, self.last_sale_us, end_us, 0.6, round(1.0 - math.exp(-surprise), 6),
            {"hours_without_sale": self.hours_since_sale, "sales_expected": round(self.since_sale, 1),
             "usual_sales_a_day": round(self.level, 2), "probability": math.exp(-surprise), "stock": stock},
        )  # fmt: skip
        self.up = self.down = 0.0
        return [self.phantom]

    def _shift(self, end_us: int, place: Place, sold: float, expected: float, strictness: float) -> list[Finding]:
        if self.shift is not None:
            return self._shift_back(end_us, sold, expected)
        begin_us = end_us - HOUR_US
        if self.up == 0.0:
            self.up_since_us = begin_us
        if self.down == 0.0:
            self.down_since_us, self.down_sold = begin_us, 0.0
        self.down_sold += sold
        # One hour alone never decides: a party buys a shelf empty, and demand is what it was.
        step = (sold * math.log(MORE) - expected * (MORE - 1.0)) / self.spread
        self.up = max(0.0, self.up + min(step, EVIDENCE / 4.0))
        self.down = max(0.0, self.down + (sold * math.log(LESS) - expected * (LESS - 1.0)) / self.spread)
        if sold:
            self.down_at_sale = self.down
        limit = EVIDENCE * strictness
        hours = (end_us - (self.up_since_us if self.up >= self.down else self.down_since_us)) / HOUR_US
        if self.up > limit and hours >= DAY_H:
            since_us, evidence, way = self.up_since_us, self.up, "up"
        elif self.down > limit and self.down_sold > 0 and self.since_sale / self.spread < NOTHING / 2:
            since_us, evidence, way = self.down_since_us, self.down, "down"
        else:
            return []
        self.shift = Finding(
            AnomalyKind.DEMAND_SHIFT, place, since_us, end_us, 0.4, round(1.0 - math.exp(-evidence), 6),
            {"direction": way, "usual_sales_a_day": round(self.level, 2), "log_likelihood_ratio": round(evidence, 1),
             "hours": round((end_us - since_us) / HOUR_US)},
        )  # fmt: skip
        self.up = self.down = self.back = self.shifted_sold = self.shifted_expected = 0.0
        return [self.shift]

    def _shift_back(self, end_us: int, sold: float, expected: float) -> list[Finding]:
        assert self.shift is not None
        factor = MORE if self.shift.evidence["direction"] == "up" else LESS
        step = (expected * (factor - 1.0) - sold * math.log(factor)) / self.spread
        if self.back == 0.0:
            self.shifted_sold, self.shifted_expected = 0.0, 0.0
        self.back = max(0.0, self.back + step)
        lasted_us = end_us - self.shift.start_us
        if self.back < EVIDENCE_BACK and lasted_us < SHIFT_DAYS_MAX * DAY_H * HOUR_US:
            return []
        found, self.shift = self.shift.closed(end_us), None
        if self.back < EVIDENCE_BACK:
            # The new level is the usual one by now; it is learnt afresh.
            self.days = 0.0
        return [found]

    def _learn(self, sold: float, share: float, expected: float) -> None:
        rate = share / min(max(self.days, 0.5), LEVEL_DAYS)
        self.level = max(0.0, self.level + rate * (sold / share - self.level)) if share > 0.0 else self.level
        self.day_expected += expected
        if self.day_expected >= max(self.level, 2.0):
            ratio = (self.day_sold - self.day_expected) ** 2 / max(self.day_expected, 0.5)
            self.spread += (min(ratio, 9.0 * self.spread) - self.spread) / SPREAD_DAYS
            self.spread = min(max(self.spread, 1.0), 8.0)
            self.day_sold = self.day_expected = 0.0


def weekday_of(hour_number: int) -> int:
    """Weekday, Monday 0, of an hour counted since 1970 by any clock, a Thursday."""
    return (hour_number // DAY_H + 3) % 7
