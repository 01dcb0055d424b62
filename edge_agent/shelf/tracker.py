"""Weight of a slot -> what happened there. Pure: times, ids and state are arguments.

A slot's weight is a staircase under noise, hands and bags. ``SlotTracker`` follows it:

1. *Plateau.* The last ``WINDOW`` samples, their extremes left out (one spike does no harm), are a plateau when
   they spread no more than the noise explains and do not lean.
2. *Difference.* A new plateau is compared with the one before (the baseline, a mean of up to ``BASELINE_MAX``
   samples, so that creep, temperature and drift cancel).
3. *Hypotheses.* The difference is explained as units of the slot's own article and at most one of a neighbour's
   (``hypotheses``). One that needs no event at all is none.
4. *Patience.* A drop that fits is decided at once. A rise that fits badly, or would not fit on the slot, may be
   a bag: it must stay. So must a swap. What nothing explains is ``unknown`` when it stays.

All weights are grams, all times milliseconds on any clock that does not step.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from contracts.frames import EventKind
from edge_agent.shelf.hypotheses import ABSORB_SHARE, ACCEPT_SD, Explanation, Guess, explain
from edge_agent.shelf.slot import NOISE_FIRST_G, SlotMemory, SlotPlan

WINDOW: Final = 7
BASELINE_MAX: Final = 60
PUT_BACK_MS: Final = 20_000
REMOVE_MS: Final = 120_000
REMOVE_UNITS_MIN: Final = 3
"""A rise of so many units that is undone as a whole was no restock; fewer may well be bought at once."""
SALES_KEPT_MAX: Final = 16
RISE_CONFIRM_MS: Final = 30_000
AWAY_CONFIRM_MS: Final = 3_000
UNKNOWN_CONFIRM_MS: Final = 20_000
SWAP_CONFIRM_MS: Final = 20_000
ABSORB_CONFIRM_MS: Final = 5_000
SURE_DROP_SD: Final = 2.0
SURE_RISE_SD: Final = 1.0
DROP_CONFIRM_SAMPLES: Final = 3
NOISE_MIN_G: Final = 0.5
NOISE_MEMORY: Final = 100
UNSETTLED_MAX: Final = 50
NOISE_GROWTH: Final = 1.02
"""After ``UNSETTLED_MAX`` samples without a plateau the noise was perhaps thought too small: it grows so fast."""

_SPREAD_SD: Final = 2.9
"""Second largest minus second smallest of 7 normal samples: 1.51 on average, over 2.9 in about 1 of 200."""
_LEAN_SD: Final = 2.3
_MEAN_SD: Final = 0.42
"""Standard deviation of the trimmed mean of 7, in those of a sample."""
_SHIFT_SD: Final = 4.0


class Decision(NamedTuple):
    """One event; ``t_ms`` when the plateau began, ``decided_ms`` when it was clear. See contracts.frames.Event."""

    id: str
    t_ms: int
    decided_ms: int
    slot: str
    kind: EventKind
    units: int
    delta_g: float
    conf: float
    on_shelf: int
    other: Mapping[str, int] = {}
    of: str = ""
    why: str = ""


class _Rise(NamedTuple):
    id: str
    t_ms: int
    units: int
    delta_g: float


@dataclass(slots=True)
class _Plateau:
    """A plateau that is not the baseline, not decided yet."""

    start_ms: int
    mean_g: float
    samples: int

    def join(self, before: "_Plateau") -> None:
        """The same load as ``before``: a hand came between, or shifted it a little."""
        samples = before.samples + self.samples
        self.mean_g = (before.mean_g * before.samples + self.mean_g * self.samples) / samples
        self.samples = samples
        self.start_ms = before.start_ms


class SlotTracker:
    """Follows one slot. ``memory`` None: never seen before, the first plateau gives the opening count.

    ``new_id`` makes event ids. Owns ``memory`` from then on.
    """

    def __init__(self, plan: SlotPlan, new_id: Callable[[], str], memory: SlotMemory | None = None) -> None:
        self._plan = plan
        self._new_id = new_id
        self._opened = memory is not None
        self.memory = memory or SlotMemory(0)
        self._window: deque[tuple[int, float]] = deque(maxlen=WINDOW)
        self._baseline_samples = WINDOW
        self._steps = 0
        self._moving = False
        self._unsettled = 0
        self._pending: _Plateau | None = None
        self._sales: deque[_Rise] = deque(maxlen=SALES_KEPT_MAX)
        self._rise: _Rise | None = None
        self._away = self.memory.baseline_g is not None

    def step(self, t_ms: int, weight_g: float) -> list[Decision]:
        """Take one good sample; what it made clear, most often nothing."""
        window = self._window
        if len(window) == WINDOW and not self._moving and self._pending is None:
            self._follow(window[0][1], window[1][1])
        window.append((t_ms, weight_g))
        if len(window) < WINDOW:
            return []
        memory = self.memory
        mean, spread, lean = _shape(window)
        if memory.baseline_g is None:
            return self._open(t_ms, mean, spread)
        noise = memory.noise_g
        if spread > _SPREAD_SD * noise or lean > _LEAN_SD * noise:
            self._moving = True
            self._unsettled += 1
            if self._unsettled > UNSETTLED_MAX:
                memory.noise_g *= NOISE_GROWTH
            return []
        self._unsettled = 0
        return self._settled(t_ms, mean)

    def _open(self, t_ms: int, mean: float, spread: float) -> list[Decision]:
        """The first plateau: learn the noise, and the count when nobody told it."""
        estimate = _noise_of([weight for _, weight in self._window])
        noise = max(NOISE_MIN_G, math.sqrt((WINDOW * estimate**2 + 3 * NOISE_FIRST_G**2) / (WINDOW + 3)))
        if spread > _SPREAD_SD * max(noise, NOISE_FIRST_G):
            return []
        memory = self.memory
        memory.baseline_g, memory.noise_g = mean, noise
        self._baseline_samples = WINDOW
        if self._opened:
            return []
        self._opened = True
        counted = max(0, round(mean / self._plan.article.unit_g))
        memory.on_shelf = counted
        sd = math.sqrt(counted * self._plan.article.sd_g**2 + noise**2)
        off_by = abs(mean - counted * self._plan.article.unit_g)
        conf = round(max(0.0, min(1.0, 1.0 - off_by / (ACCEPT_SD * sd + self._plan.article.unit_g / 2))), 3)
        start_ms = self._window[0][0]
        return [
            Decision(
                self._new_id(), start_ms, t_ms, self._plan.slot, EventKind.ADJUST, counted, round(mean, 1), conf,
                counted, why="count",
            )
        ]  # fmt: skip

    def _follow(self, oldest: float, second: float) -> None:
        """Zero tracking, only while nothing moves: a sample that left the window joins the baseline."""
        memory = self.memory
        if memory.baseline_g is None:
            return
        self._baseline_samples = min(BASELINE_MAX, self._baseline_samples + 1)
        limit = ACCEPT_SD * memory.noise_g
        memory.baseline_g += max(-limit, min(limit, oldest - memory.baseline_g)) / self._baseline_samples
        self._steps = min(NOISE_MEMORY, self._steps + 1)
        square = min((second - oldest) ** 2 / 2, (4 * memory.noise_g) ** 2)
        variance = memory.noise_g**2 + (square - memory.noise_g**2) / (self._steps + WINDOW)
        memory.noise_g = max(NOISE_MIN_G, math.sqrt(variance))

    def _settled(self, t_ms: int, mean: float) -> list[Decision]:
        """The window is a plateau: the baseline again, the pending one still, or a new one."""
        memory = self.memory
        assert memory.baseline_g is not None
        tolerance = _SHIFT_SD * self._mean_sd(WINDOW, self._baseline_samples)
        pending = self._pending
        self._moving = False
        if abs(mean - memory.baseline_g) <= tolerance:
            self._pending = None
            self._away = False
            return []
        previous = None
        if pending is not None and abs(mean - pending.mean_g) <= tolerance:
            pending.samples += 1
            newest = self._window[-1][1]
            pending.mean_g += (newest - pending.mean_g) / pending.samples
        else:
            previous = pending
            self._pending = pending = _Plateau(self._window[0][0], mean, WINDOW)
        return self._decide(t_ms, pending, previous)

    def _decide(self, t_ms: int, plateau: _Plateau, previous: _Plateau | None) -> list[Decision]:
        memory = self.memory
        assert memory.baseline_g is not None
        delta = plateau.mean_g - memory.baseline_g
        noise_sd = self._mean_sd(plateau.samples, self._baseline_samples)
        explanation = explain(delta, noise_sd, self._plan, memory)
        if previous is not None:
            beside = plateau.mean_g - previous.mean_g
            beside_sd = self._mean_sd(plateau.samples, previous.samples)
            explanation_beside = explain(beside, beside_sd, self._plan, memory)
            if self._is_creep(explanation_beside, beside):
                plateau.join(previous)
                return []
            if self._is_likelier_beside(explanation_beside, explanation, previous, t_ms):
                return self._accept_beside(t_ms, plateau, previous, explanation_beside, beside)
        guess, conf, _ = explanation
        age_ms = t_ms - plateau.start_ms
        if guess is None:
            if self._is_creep(explanation, delta):
                return self._absorb(plateau, age_ms)
            return self._give_up(t_ms, plateau, delta, age_ms)
        if not self._is_clear(guess, plateau, t_ms, age_ms):
            return []
        decisions = self._load_gone(guess, plateau.start_ms, t_ms, delta, conf)
        if guess.own or guess.other:
            decisions.append(self._event(guess, plateau.start_ms, t_ms, delta - guess.load_g, conf))
        self._rebase(plateau)
        return decisions

    def _accept_beside(
        self, t_ms: int, plateau: _Plateau, previous: _Plateau, explanation: Explanation, delta: float
    ) -> list[Decision]:
        """Something was sold beside a bag that still lies there: the baseline moves along under it."""
        memory = self.memory
        assert memory.baseline_g is not None
        assert explanation.guess is not None
        decision = self._event(explanation.guess, plateau.start_ms, t_ms, delta, explanation.conf)
        memory.baseline_g += delta
        plateau.start_ms = previous.start_ms
        return [decision]

    def _is_likelier_beside(self, beside: Explanation, whole: Explanation, previous: _Plateau, t_ms: int) -> bool:
        """Whether a sale or its return explains the last step, and better than one change the whole way.

        Less that lies there than a moment ago, but more than on the baseline: something was taken while a load or a
        refill was not decided yet. A rise beside a load is mostly more of that load.
        """
        guess = beside.guess
        if guess is None or guess.load_g or guess.is_swap:
            return False
        if guess.residual_sd > SURE_DROP_SD and previous.samples < WINDOW + DROP_CONFIRM_SAMPLES:
            return False
        if guess.rises:
            if self._sale_for(guess.own, t_ms) is None:
                return False
        elif whole.guess is not None and whole.guess.rises:
            return True
        return whole.guess is None or guess.log_weight > whole.guess.log_weight

    def _is_clear(self, guess: Guess, plateau: _Plateau, t_ms: int, age_ms: int) -> bool:
        """Whether to decide now or to look longer."""
        if guess.is_swap:
            return age_ms >= SWAP_CONFIRM_MS
        if self._away:
            return age_ms >= AWAY_CONFIRM_MS
        if not guess.rises or self._sale_for(guess.own, t_ms) is not None:
            return guess.residual_sd <= SURE_DROP_SD or plateau.samples >= WINDOW + DROP_CONFIRM_SAMPLES
        fits = self.memory.on_shelf + guess.own <= self._plan.capacity and not guess.other
        return (fits and guess.residual_sd <= SURE_RISE_SD) or age_ms >= RISE_CONFIRM_MS

    def _is_creep(self, explanation: Explanation, delta: float) -> bool:
        return explanation.is_nothing or (
            explanation.guess is None and abs(delta) < ABSORB_SHARE * self._plan.article.unit_g
        )

    def _absorb(self, plateau: _Plateau, age_ms: int) -> list[Decision]:
        """Creep, or a unit exchanged for another: the baseline goes there when it stays."""
        if age_ms >= ABSORB_CONFIRM_MS:
            self._rebase(plateau)
        return []

    def _give_up(self, t_ms: int, plateau: _Plateau, delta: float, age_ms: int) -> list[Decision]:
        """Nothing explains the difference: it is told with its grams when it stays."""
        if age_ms < UNKNOWN_CONFIRM_MS:
            return []
        self._rebase(plateau)
        self.memory.load_g += delta
        return [self._unknown(plateau.start_ms, t_ms, delta, 0.5)]

    def _unknown(self, start_ms: int, t_ms: int, delta: float, conf: float) -> Decision:
        slot, on_shelf = self._plan.slot, self.memory.on_shelf
        kind = EventKind.UNKNOWN
        return Decision(self._new_id(), start_ms, t_ms, slot, kind, 0, round(delta, 1), round(conf, 3), on_shelf)

    def _load_gone(self, guess: Guess, start_ms: int, t_ms: int, delta: float, conf: float) -> list[Decision]:
        """The unknown load left: its grams are taken back by a second ``unknown``."""
        if not guess.load_g:
            return []
        self.memory.load_g = 0.0
        return [self._unknown(start_ms, t_ms, delta if not (guess.own or guess.other) else guess.load_g, conf)]

    def _rebase(self, plateau: _Plateau) -> None:
        self.memory.baseline_g = plateau.mean_g
        self._baseline_samples = plateau.samples
        self._pending = None
        self._away = False

    def _event(self, guess: Guess, start_ms: int, t_ms: int, delta: float, conf: float) -> Decision:
        memory = self.memory
        memory.on_shelf = max(0, memory.on_shelf + guess.own)
        for sku, n in guess.other.items():
            memory.foreign[sku] = max(0, memory.foreign.get(sku, 0) + n)
        kind, of, why = self._kind(guess, t_ms, delta)
        event_id = self._new_id()
        if kind is EventKind.SALE:
            self._sales.append(_Rise(event_id, t_ms, -guess.own, delta))
        elif kind is EventKind.RESTOCK:
            self._rise = _Rise(event_id, t_ms, guess.own, delta)
        return Decision(
            event_id, start_ms, t_ms, self._plan.slot, kind, guess.own, round(delta, 1), round(conf, 3),
            memory.on_shelf, guess.other, of, why,
        )  # fmt: skip

    def _kind(self, guess: Guess, t_ms: int, delta: float) -> tuple[EventKind, str, str]:
        """Kind of an accepted change, the event that it undoes, and why."""
        why = "while_away" if self._away else ""
        if guess.own == 0:
            return EventKind.ADJUST, "", "misplaced"
        if guess.own < 0:
            rise = self._rise
            if rise is not None and self._undoes(rise, guess.own, delta, t_ms):
                self._rise = None
                return EventKind.REMOVE, rise.id, why
            return EventKind.SALE, "", why
        sale = self._sale_for(guess.own, t_ms)
        if sale is None:
            return EventKind.RESTOCK, "", why
        self._sales.remove(sale)
        if sale.units > guess.own:
            self._sales.append(sale._replace(units=sale.units - guess.own))
        return EventKind.PUT_BACK, sale.id, why

    def _undoes(self, rise: _Rise, own: int, delta: float, t_ms: int) -> bool:
        return (
            rise.units >= REMOVE_UNITS_MIN
            and own == -rise.units
            and t_ms - rise.t_ms <= REMOVE_MS
            and abs(delta + rise.delta_g) <= _SHIFT_SD * self._mean_sd(WINDOW, WINDOW)
        )

    def _sale_for(self, units: int, t_ms: int) -> _Rise | None:
        """The latest sale that a rise of ``units`` may be the return of."""
        if units <= 0:
            return None
        for sale in reversed(self._sales):
            if t_ms - sale.t_ms <= PUT_BACK_MS and sale.units >= units:
                return sale
        return None

    def _mean_sd(self, samples: int, others: int) -> float:
        """Standard deviation of the difference of two plateau means."""
        each = _MEAN_SD * self.memory.noise_g
        return each * math.sqrt(WINDOW / samples + WINDOW / others)


def _shape(window: deque[tuple[int, float]]) -> tuple[float, float, float]:
    """Trimmed mean, trimmed spread, and lean (late minus early mean, absolute) of a full window."""
    weights = [weight for _, weight in window]
    early = (weights[0] + weights[1] + weights[2]) / 3
    late = (weights[-1] + weights[-2] + weights[-3]) / 3
    weights.sort()
    inner = weights[1:-1]
    return sum(inner) / len(inner), inner[-1] - inner[0], abs(late - early)


def _noise_of(weights: list[float]) -> float:
    """Standard deviation of a sample from successive differences (insensitive to a slow drift)."""
    squares = sorted((b - a) ** 2 / 2 for a, b in itertools.pairwise(weights))
    inner = squares[:-1]
    return math.sqrt(sum(inner) / len(inner)) * 1.2
