"""A load cell: levels and jumps between them, and ``drift`` of what it shows while nothing is taken or laid. Pure.

A jump counts once a second fold confirms it, so that hands and spikes pass. Between two jumps the level must stay;
how much it crept, in relation to what noise explains, is a sequential test (CUSUM of log likelihood ratios, Page 1954)
of a creep of ``CREEP_G_PER_HOUR`` against the usual one, each way.
"""

import math
from collections import deque
from typing import Final, NamedTuple

from contracts.facts import AnomalyKind
from stream.watch.finding import HOUR_US, Finding, Profile, slot_place
from stream.watch.folds import Fold

LEVEL_FOLDS: Final = 5
JUMP_UNITS: Final = 0.5
JUMP_NOISE: Final = 6.0
NOISE_RATE: Final = 0.02
NOISE_START_G: Final = 10.0
STRETCH_H: Final = 4.0
"""A quiet stretch is judged when it is so long, at the latest."""
STRETCH_FOLDS: Final = 2 * LEVEL_FOLDS
CREEP_G_PER_HOUR: Final = 3.0
EVIDENCE: Final = 14.0
"""Log likelihood ratio at which a drift opens …"""
EVIDENCE_BACK: Final = 8.0
"""… and for the usual creep, at which it closes."""
LEARNING_US: Final = 48 * HOUR_US
USUAL_RATE: Final = 0.02
GAP_US: Final = 30 * 60 * 1_000_000
"""A level from before a longer silence is not compared with what comes after it."""


class Jump(NamedTuple):
    """A change of level, in grams and, where the article's weight is known, in units."""

    t_us: int
    grams: float
    units: int
    on_shelf: int | None = None
    """Units that now weigh on the cell, as far as its zero can be trusted."""


class Scale:
    """One slot's load cell."""

    __slots__ = (
        "_away",
        "_begin",
        "_count",
        "_down",
        "_first_us",
        "_folds",
        "_noise",
        "_open",
        "_since",
        "_spread",
        "_t_us",
        "_times",
        "_up",
        "_usual",
    )  # fmt: skip

    def __init__(self) -> None:
        self._folds: deque[float] = deque(maxlen=LEVEL_FOLDS)
        self._times: deque[int] = deque(maxlen=LEVEL_FOLDS)
        self._begin: tuple[float, float] | None = None
        """Time, h, and level at the beginning of the stretch."""
        self._count = 0
        self._away: Fold | None = None
        self._noise = NOISE_START_G
        self._first_us = self._t_us = 0
        self._usual = 0.0
        self._spread = 1.0
        self._up = self._down = 0.0
        self._since = [0, 0]
        self._open: tuple[Finding, float, float] | None = None

    @property
    def noise_g(self) -> float:
        """Mean absolute deviation of a fold from its level."""
        return self._noise

    def step(self, fold: Fold, profile: Profile, strictness: float) -> tuple[Jump | None, Finding | None]:
        """Take the next fold; returns the jump and the anomaly that it settles."""
        if not self._first_us:
            self._first_us = fold.t_us
        if self._folds and fold.t_us - self._t_us > max(GAP_US, 5_000_000.0 * profile.interval_s):
            self._restart()
        self._t_us = fold.t_us
        limit = max(JUMP_UNITS * profile.unit_g, JUMP_NOISE * self._noise)
        if fold.high - fold.low > 2.0 * limit:
            # Something happens within this minute; the next one tells what became of it.
            return None, None
        if not self._folds:
            self._folds.append(fold.last)
            self._times.append(fold.t_us)
            return None, None
        level = sum(self._folds) / len(self._folds)
        off = fold.last - level
        if abs(off) <= limit:
            self._away = None
            self._noise += NOISE_RATE * (min(abs(fold.last - level), limit) - self._noise)
            return None, self._stay(fold, profile, strictness)
        away, self._away = self._away, fold
        if away is None or abs(fold.last - away.last) > limit:
            return None, None
        settled = (fold.last + away.last) / 2.0
        found = self._judge(profile, strictness)
        grams = settled - level
        self._restart()
        self._folds.extend((away.last, fold.last))
        self._times.extend((away.t_us, fold.t_us))
        if not profile.unit_g:
            return Jump(away.t_us, grams, 0), found
        return Jump(away.t_us, grams, round(grams / profile.unit_g), max(0, round(settled / profile.unit_g))), found

    def _restart(self) -> None:
        self._folds.clear()
        self._times.clear()
        self._begin = None
        self._count = 0
        self._away = None

    def _stay(self, fold: Fold, profile: Profile, strictness: float) -> Finding | None:
        self._folds.append(fold.last)
        self._times.append(fold.t_us)
        self._count += 1
        if self._begin is None:
            if len(self._folds) == LEVEL_FOLDS:
                self._begin = self._level()
                self._count = 0
            return None
        if self._count >= STRETCH_FOLDS and fold.t_us / HOUR_US - self._begin[0] >= STRETCH_H:
            return self._judge(profile, strictness)
        return None

    def _level(self) -> tuple[float, float]:
        return sum(self._times) / len(self._times) / HOUR_US, sum(self._folds) / len(self._folds)

    def _judge(self, profile: Profile, strictness: float) -> Finding | None:
        """Weigh the stretch that ends here."""
        if self._begin is None or self._count < STRETCH_FOLDS or len(self._folds) < LEVEL_FOLDS:
            return None
        begin, end = self._begin, self._level()
        self._begin, self._count = end, 0
        hours, grams = end[0] - begin[0], end[1] - begin[1]
        # Noise of two means, and what rounding and warmth add.
        variance = (2.0 * (1.25 * self._noise) ** 2 / LEVEL_FOLDS + 1.0 + 0.25 * hours) * self._spread
        crept = grams - self._usual * hours
        if self._open is not None:
            return self._judge_end(hours, crept, variance)
        for way, sign in enumerate((1.0, -1.0)):
            ratio = (sign * crept * CREEP_G_PER_HOUR * hours - (CREEP_G_PER_HOUR * hours) ** 2 / 2.0) / variance
            before = self._up if way == 0 else self._down
            # One stretch alone never decides: a foreign article that is laid down gently is no drift.
            after = max(0.0, before + min(ratio, EVIDENCE / 2.0))
            if before == 0.0 and after > 0.0:
                self._since[way] = int(begin[0] * HOUR_US)
            if way == 0:
                self._up = after
            else:
                self._down = after
        if self._t_us - self._first_us < LEARNING_US:
            self._up, self._down = min(self._up, EVIDENCE / 3), min(self._down, EVIDENCE / 3)
        if max(self._up, self._down) > EVIDENCE * strictness:
            return self._begin_drift(profile, grams / hours)
        share = USUAL_RATE * min(1.0, hours)
        normal = min(crept * crept / variance * self._spread, 9.0 * self._spread)
        self._spread = min(max(self._spread + share * (normal - self._spread), 0.5), 20.0)
        self._usual += share * min(max(grams / hours - self._usual, -2.0), 2.0)
        return None

    def _begin_drift(self, profile: Profile, rate: float) -> Finding:
        way = 0 if self._up >= self._down else 1
        evidence = max(self._up, self._down)
        found = Finding(
            AnomalyKind.DRIFT, slot_place(profile), self._since[way], self._t_us,
            round(min(1.0, 0.4 + abs(rate) / 100.0), 3), round(1.0 - math.exp(-evidence / 2.0), 4),
            {"g_per_hour": round(rate, 2), "usual_g_per_hour": round(self._usual, 2),
             "noise_g": round(self._noise, 2), "log_likelihood_ratio": round(evidence, 1)},
        )  # fmt: skip
        self._open = (found, rate - self._usual, 0.0)
        self._up = self._down = 0.0
        return found

    def _judge_end(self, hours: float, crept: float, variance: float) -> Finding | None:
        assert self._open is not None
        found, rate, back = self._open
        creep = math.copysign(max(abs(rate) * 0.7, CREEP_G_PER_HOUR), rate)
        ratio = ((crept - creep * hours) ** 2 - crept**2) / (2.0 * variance)
        back = max(0.0, back + min(ratio, EVIDENCE_BACK / 2.0))
        self._open = (found, rate, back)
        if back < EVIDENCE_BACK:
            return None
        self._open = None
        return found.closed(self._t_us - round(hours * HOUR_US))
