"""``dropout``: silence beyond a series' own rhythm, told once for the smallest thing that is wholly silent. Pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from contracts.facts import AnomalyKind
from stream.watch.finding import (
    SECOND_US,
    Finding,
    Place,
    Profile,
    device_place,
    family_of,
    gateway_place,
    series_place,
)

INTERVALS: Final = 5.5
"""Usual intervals of silence that are too many …"""
SILENT_MIN_US: Final = 150 * SECOND_US
"""… and the shortest silence that counts."""
GAP_FACTOR: Final = 2.0
"""What is longer than the longest pause so far by this factor is no pause; pauses are forgotten slowly."""
GAP_FADE: Final = 0.999
GAP_MAX: Final = 20.0
"""Pauses count as at most so many usual intervals."""
ROWS_MIN: Final = 20
"""Folds of a series before its rhythm is known."""
SLOW_US: Final = 3_600 * SECOND_US
"""Nobody waits for series with longer intervals to decide how much is silent."""
INTERVAL_RATE: Final = 0.05
LOSS_RATE: Final = 0.1
"""How fast the share of readings that never came is learnt, for each that was due."""
LOSS_WEIGHTS: Final = tuple(1.0 - (1.0 - LOSS_RATE) ** due for due in range(2 * ROWS_MIN + 1))
"""What so many that were due weigh together: looked up for each fold of each series."""
LOSS_MAX: Final = 0.8
SURPRISE: Final = 11.5
"""-ln of the probability of so many losses in a row, at which they are a silence."""
LOSS_MIN: Final = math.exp(-SURPRISE / INTERVALS)
"""Share at which that takes ``INTERVALS``."""


@dataclass(slots=True)
class Rhythm:
    """When one series speaks. ``covered``: its silence is part of an anomaly that was told.

    ``loss``: share of readings that lately never came, ``loss_nearby`` that of its controller. ``awaited_us``: when it
    was to speak again after such a silence.
    """

    profile: Profile
    last_us: int = 0
    fold_us: int = 0
    interval_us: float = 0.0
    longest_us: float = 0.0
    rows: int = 0
    loss: float = 0.0
    loss_nearby: float = 0.0
    awaited_us: int = 0
    covered: bool = False

    def hear(self, t_us: int, n: int) -> None:
        """Take a fold of ``n`` readings that ends at ``t_us``."""
        gap_us = float(t_us - self.fold_us)
        # What a silence did that was told is not how this series is.
        is_usual = not self.covered and self.fold_us >= self.awaited_us
        if self.rows > 0 and gap_us > 0 and is_usual:
            each = gap_us / n
            interval_us = each if self.rows == 1 else self.interval_us
            self.interval_us = interval_us + INTERVAL_RATE * (min(each, 4 * interval_us) - interval_us)
            self.longest_us *= GAP_FADE
            usual_us = self.usual_us
            if n == 1 and each > self.longest_us:
                self.longest_us = min(each, GAP_MAX * usual_us)
            due = max(n, min(round(gap_us / usual_us), 2 * ROWS_MIN)) if usual_us else n
            weight = LOSS_WEIGHTS[due] if due < len(LOSS_WEIGHTS) else 1.0 - (1.0 - LOSS_RATE) ** due
            self.loss += weight * ((due - n) / due - self.loss)
        self.rows += 1
        self.fold_us = t_us
        self.last_us = max(t_us, self.last_us)

    @property
    def usual_us(self) -> float:
        """The interval that is told, else learnt."""
        return self.profile.interval_s * SECOND_US or self.interval_us

    def is_silent(self, now_us: int) -> bool:
        """Whether it should have spoken long ago."""
        since_us = max(self.last_us, self.awaited_us)
        if self.rows < ROWS_MIN or now_us - since_us <= SILENT_MIN_US:
            return False
        # Readings that are lost one by one make a silence likely: so many in a row must not be chance.
        losses = SURPRISE / -math.log(min(max(self.loss, self.loss_nearby, LOSS_MIN), LOSS_MAX))
        return now_us - since_us > max(losses * self.usual_us, GAP_FACTOR * self.longest_us)

    def spoke_after(self, t_us: int) -> bool:
        """Whether it lived on after others fell silent."""
        return self.last_us > t_us + max(1.5 * self.usual_us, 60.0 * SECOND_US)


@dataclass(slots=True)
class _Open:
    finding: Finding
    members: list[Rhythm]
    since_us: int


@dataclass(slots=True)
class Silence:
    """Rhythms of the series of one gateway."""

    rhythms: dict[int, Rhythm] = field(default_factory=dict)
    open: list[_Open] = field(default_factory=list)

    @property
    def last_us(self) -> int:
        """When anything of the gateway spoke last."""
        return max((rhythm.last_us for rhythm in self.rhythms.values()), default=0)

    def check(self, now_us: int, is_faulty: Callable[[Profile], bool]) -> list[Finding]:
        """Anomalies that open or close, at the event time ``now_us``. Silence of a faulty device is its fault."""
        found = self._close()
        self._compare()
        silent = [
            each for each in self.rhythms.values()
            if not each.covered and each.is_silent(now_us) and not is_faulty(each.profile)
        ]  # fmt: skip
        if not silent:
            return found
        known = [each for each in self.rhythms.values() if each.rows >= ROWS_MIN and not each.covered]
        since_us = min(each.last_us for each in silent)
        for each in known:
            waits = not each.is_silent(now_us) and not each.spoke_after(since_us) and each.usual_us <= SLOW_US
            if waits:
                return found
        living = [each for each in known if each.spoke_after(since_us) and not each.is_silent(now_us)]
        groups = _by_device(known)
        if not living and len(groups) > 1:
            found.append(self._tell(gateway_place(silent[0].profile), known, now_us))
            return found
        for place, members in _smallest(groups, silent, now_us):
            found.append(self._tell(place, members, now_us))
        return found

    def _compare(self) -> None:
        """Tell each series what its controller's others lose: a bad line shows in all of them sooner than in one."""
        families: dict[str, list[Rhythm]] = {}
        for each in self.rhythms.values():
            families.setdefault(each.profile.family, []).append(each)
        for members in families.values():
            mean = sum(each.loss for each in members) / len(members)
            for each in members:
                each.loss_nearby = mean

    def tell_offline(self, at_us: int) -> Finding | None:
        """The gateway's own last will: it is gone as a whole."""
        known = [each for each in self.rhythms.values() if not each.covered]
        if not known or self.last_us > at_us:
            return None
        return self._tell(gateway_place(known[0].profile), known, at_us)

    def _tell(self, place: Place, members: list[Rhythm], now_us: int) -> Finding:
        since_us = max(each.last_us for each in members)
        interval_s = max(each.usual_us for each in members) / SECOND_US
        found = Finding(
            AnomalyKind.DROPOUT, place, since_us, now_us, {"series": 0.4, "device": 0.6}.get(place.kind, 0.8), 0.999,
            {"silent_s": round((now_us - since_us) / SECOND_US), "usual_interval_s": round(interval_s, 1),
             "series": sorted(each.profile.channel for each in members)[:20]},
        )  # fmt: skip
        for each in members:
            each.covered = True
        self.open.append(_Open(found, members, since_us))
        return found

    def _close(self) -> list[Finding]:
        found = []
        for each in self.open:
            back = [member.last_us for member in each.members if member.last_us > each.since_us]
            if back:
                found.append(each.finding.closed(min(back)))
                for member in each.members:
                    # Who is not back yet has its usual time for it, and is told by itself after that.
                    member.covered, member.awaited_us = False, min(back)
        self.open = [each for each in self.open if any(member.covered for member in each.members)]
        return found


def _by_device(rhythms: list[Rhythm]) -> dict[str, list[Rhythm]]:
    groups: dict[str, list[Rhythm]] = {}
    for each in rhythms:
        groups.setdefault(each.profile.device, []).append(each)
    return groups


def _smallest(
    groups: dict[str, list[Rhythm]], silent: list[Rhythm], now_us: int
) -> list[tuple[Place, list[Rhythm]]]:  # fmt: skip
    """Devices that are wholly silent, bays of one controller together; else single series."""
    whole = {device: each for device, each in groups.items() if all(one.is_silent(now_us) for one in each)}
    places: list[tuple[Place, list[Rhythm]]] = []
    families: dict[str, list[str]] = {}
    for device in whole:
        families.setdefault(family_of(device), []).append(device)
    for family, devices in families.items():
        members = [one for device in devices for one in whole[device]]
        all_of_it = all(device in whole for device in groups if family_of(device) == family)
        if len(devices) > 1 and all_of_it:
            places.append((device_place(members[0].profile, family), members))
            continue
        for device in devices:
            alone = len(whole[device]) == 1
            first = whole[device][0].profile
            places.append((series_place(first) if alone else device_place(first), whole[device]))
    places += [(series_place(one.profile), [one]) for one in silent if one.profile.device not in whole]
    return places
