"""Weight of a slot -> what happened there. Pure: times, ids and state are arguments.

A slot's weight is a staircase under noise, hands and bags. ``SlotTracker`` follows it:

1. *Plateau.* The last ``WINDOW`` samples, their extremes left out (one spike does no harm), are a plateau when
   they spread no more than the noise explains and do not lean.
2. *Difference.* A new plateau is compared with the one before (``baseline``, a mean of up to 60 samples that
   follows creep, temperature and drift).
3. *Hypotheses.* The difference is explained as units of the slot's own article and at most one of a neighbour's
   (``hypotheses``). One that needs no event at all is none.
4. *Patience.* A drop that fits is decided at once. A rise may be a bag: it must be likelier a refill, or stay. So
   must a swap. What nothing explains is ``unknown`` when it stays.
5. *Learning.* What was decided for sure tells what a unit weighs here (``unit_weight``).

All weights are grams, all times milliseconds on any clock that does not step.
"""

from collections.abc import Callable, Sequence
from typing import Final

from contracts.frames import EventKind
from edge_agent.shelf import patience
from edge_agent.shelf.baseline import Baseline
from edge_agent.shelf.decision import Decision, Evidence
from edge_agent.shelf.hypotheses import ABSORB_SHARE, Explanation, Guess, explain, opening_count
from edge_agent.shelf.journal import Journal
from edge_agent.shelf.plateau import (
    LEAN_SD,
    SPREAD_SD,
    WINDOW,
    Order,
    Plateau,
    Sample,
    lots_of,
    shape,
)
from edge_agent.shelf.recent import Change, Recent
from edge_agent.shelf.samples import Samples
from edge_agent.shelf.slot import NOISE_FIRST_G, SlotMemory, SlotPlan

TARE_MS: Final = 15_000
SOLID_SAMPLES: Final = 10
"""A plateau this long was no resting hand: what comes after is compared with it."""
LEARN_CONF: Final = 0.9
UNSETTLED_MAX: Final = 50
"""After so many samples without a plateau the noise was perhaps thought too small."""
_SHIFT_SD: Final = 4.0


class SlotTracker:
    """Follows one slot. ``memory`` None: never seen before, the first plateau gives the opening count.

    ``new_id`` makes event ids. Owns ``memory`` from then on.
    """

    def __init__(self, plan: SlotPlan, new_id: Callable[[], str], memory: SlotMemory | None = None) -> None:
        self._master = plan
        self._opened = memory is not None
        self.memory = memory or SlotMemory(0)
        self._plan = self._master.learnt(self.memory.unit)
        self._baseline = Baseline(self.memory)
        self._journal = Journal(plan.slot, new_id, self.memory)
        self._undoable = Recent()
        self._samples = Samples()
        self._moving = False
        self._unsettled = 0
        self._pending: Plateau | None = None
        self._solid: Plateau | None = None
        self._away = self.memory.baseline_g is not None
        self._zero_checked = False
        self._tare_until_ms: int | None = None

    @property
    def plan(self) -> SlotPlan:
        """The plan with the weight of a unit as it was learnt."""
        return self._plan

    @property
    def recent(self) -> Sequence[Decision]:
        """The last decisions with their grounds, oldest first."""
        return self._journal.recent

    # ------------------------------------------------------------------ told by people

    def tare(self, t_ms: int) -> None:
        """The scale is about to be tared: a plateau around 0 soon after is no sale of everything."""
        self._tare_until_ms = t_ms + TARE_MS

    def tare_failed(self) -> None:
        """It was not tared after all: a plateau around 0 is what it looks like."""
        self._tare_until_ms = None

    def count(self, t_ms: int, units: int) -> Decision:
        """Somebody counted ``units`` of the slot's own article."""
        change, self.memory.on_shelf = units - self.memory.on_shelf, units
        self._opened = True
        return self._journal.tell(EventKind.ADJUST, t_ms, t_ms, change, 0.0, 1.0, why="count")

    def step(self, t_ms: int, weight_g: float, temp_c: float | None = None) -> list[Decision]:
        """Take one good sample; what it made clear, most often nothing."""
        order = self._samples.arrive(t_ms)
        if order is Order.LATE:
            return []
        if order is not Order.NEXT:
            self._lose_sight(order)
        baseline, window, memory = self._baseline, self._samples.window, self.memory
        baseline.resolution.see(weight_g)
        weight_g = baseline.compensate(t_ms, weight_g, temp_c)
        full = len(window) == WINDOW
        if full and not self._moving and self._pending is None and memory.baseline_g is not None:
            baseline.follow(window[0][1], window[1][1], t_ms)
        if not self._samples.add(Sample(t_ms, weight_g)):
            return []
        mean, spread, lean = shape(window)
        if memory.baseline_g is None:
            return self._open(t_ms, mean, spread)
        noise = memory.noise_g
        if spread > SPREAD_SD * noise or lean > LEAN_SD * noise:
            self._moving = True
            self._unsettled += 1
            if self._unsettled > UNSETTLED_MAX:
                baseline.grow_noise()
            return []
        self._unsettled = 0
        return self._settled(t_ms, mean)

    def _lose_sight(self, order: Order) -> None:
        """Nothing was seen for a while, or the clock began anew."""
        self._baseline.lose_sight()
        if order is Order.ANEW:
            self._pending = self._solid = None

    def _open(self, t_ms: int, mean: float, spread: float) -> list[Decision]:
        """The first plateau: learn the noise, and the count when nobody told it."""
        noise = self._samples.first_noise(self._baseline.resolution.noise_min_g)
        if spread > SPREAD_SD * max(noise, NOISE_FIRST_G):
            return []
        memory, article = self.memory, self._plan.article
        memory.noise_g = noise
        self._baseline.rebase(mean, WINDOW)
        if self._opened:
            return []
        self._opened = True
        memory.on_shelf, conf = opening_count(mean, noise, article)
        start_ms = self._samples.start_ms
        return [self._journal.tell(EventKind.ADJUST, start_ms, t_ms, memory.on_shelf, mean, conf, why="count")]

    def _settled(self, t_ms: int, mean: float) -> list[Decision]:
        """The window is a plateau: the baseline again, the pending one still, or a new one."""
        baseline = self._baseline
        tolerance = _SHIFT_SD * baseline.difference_sd(WINDOW)
        pending = self._pending
        self._moving = False
        if self._tare_until_ms is not None and (tared := self._tared(t_ms, mean)):
            return tared
        if abs(mean - baseline.grams) <= tolerance:
            if pending is not None:
                self._came_and_went(pending)
            self._away = False
            return self._check_zero(t_ms) if baseline.is_settled and not self._zero_checked else []
        previous = None
        if pending is not None and abs(mean - pending.mean_g) <= tolerance:
            pending.samples += 1
            pending.mean_g += (self._samples.window[-1].weight_g - pending.mean_g) / pending.samples
            if pending.samples >= SOLID_SAMPLES:
                self._solid = pending
        else:
            previous = self._solid or pending
            stairs = pending is not None and baseline.grams < pending.mean_g < mean
            self._pending = pending = Plateau(self._samples.start_ms, mean, WINDOW, stairs)
        return self._decide(t_ms, pending, previous)

    # ------------------------------------------------------------------ deciding

    def _decide(self, t_ms: int, plateau: Plateau, previous: Plateau | None) -> list[Decision]:
        baseline = self._baseline
        delta = plateau.mean_g - baseline.grams
        age_ms = t_ms - plateau.start_ms
        whole = explain(delta, baseline.difference_sd(plateau.samples), self._plan, self.memory, age_ms)
        if previous is not None:
            step = plateau.mean_g - previous.mean_g
            beside_sd = baseline.difference_sd(plateau.samples, previous.samples)
            beside = explain(step, beside_sd, self._plan, self.memory)
            if self._is_creep(beside, step):
                plateau.join(previous)
                return []
            if self._is_likelier_beside(beside, whole, previous, t_ms):
                return self._accept_beside(t_ms, plateau, previous, beside, step)
        guess = whole.guess
        if guess is None or patience.is_given_up(guess, age_ms, is_doubtful=whole.is_doubtful):
            return self._wait_or_give_up(t_ms, plateau, whole, delta)
        if not self._is_clear(guess, whole.conf, plateau, t_ms):
            return []
        decisions = self._load_gone(guess, plateau, t_ms, delta, whole)
        if guess.own or guess.other:
            decisions += self._accept(guess, plateau, t_ms, delta - guess.load_g, whole, baseline.grams)
        self._rebase(plateau)
        return decisions

    def _accept_beside(
        self, t_ms: int, plateau: Plateau, previous: Plateau, explanation: Explanation, delta: float
    ) -> list[Decision]:
        """Something was sold beside a bag that still lies there: the baseline moves along under it."""
        assert explanation.guess is not None
        decisions = self._accept(explanation.guess, plateau, t_ms, delta, explanation, previous.mean_g)
        self._baseline.shift(delta)
        plateau.start_ms = previous.start_ms
        return decisions

    def _is_likelier_beside(self, beside: Explanation, whole: Explanation, previous: Plateau, t_ms: int) -> bool:
        """Whether a sale or its return explains the last step, and better than one change the whole way.

        Less that lies there than a moment ago, but more than on the baseline: something was taken while a load or a
        refill was not decided yet. A rise beside a load is more of that load, unless it looks very much like a refill.
        """
        guess = beside.guess
        if guess is None or guess.load_g or guess.is_swap:
            return False
        if not patience.fits_well(guess, previous.samples):
            return False
        if guess.rises:
            is_refill = (
                whole.guess is None and beside.conf >= patience.SURE_RISE_CONF and guess.own > patience.FEW_UNITS
            )
            fits = self.memory.on_shelf + guess.own <= self._plan.capacity
            if self._undoable.sale_for(guess.own, t_ms) is None and not (is_refill and fits):
                return False
        elif whole.guess is not None and whole.guess.rises:
            return True
        return whole.guess is None or guess.log_weight > whole.guess.log_weight

    def _is_clear(self, guess: Guess, conf: float, plateau: Plateau, t_ms: int) -> bool:
        """Whether to decide now or to look longer."""
        age_ms = t_ms - plateau.start_ms
        if guess.is_swap or guess.other or not guess.rises or self._away:
            return patience.is_clear_change(guess, age_ms, plateau.samples, is_away=self._away)
        fits = patience.fits_well(guess, plateau.samples) and self._has_room(guess)
        if self._undoable.sale_for(guess.own, plateau.start_ms) is not None and conf >= patience.SURE_RISE_CONF:
            return fits
        rests = sum(at_ms is not None for at_ms in self._rests(guess.own, plateau, self._baseline.grams))
        by_steps = plateau.stairs or rests >= patience.STAIRS_MIN
        return patience.is_clear_refill(guess, conf, age_ms, fits=fits, by_steps=by_steps)

    def _has_room(self, guess: Guess) -> bool:
        return self.memory.on_shelf + guess.own <= self._plan.capacity

    def _is_creep(self, explanation: Explanation, delta: float) -> bool:
        return explanation.is_nothing or (
            explanation.guess is None and abs(delta) < ABSORB_SHARE * self._plan.article.unit_g
        )

    def _wait_or_give_up(self, t_ms: int, plateau: Plateau, explanation: Explanation, delta: float) -> list[Decision]:
        """Nothing explains the difference. Creep is absorbed, anything else told with its grams, when it stays."""
        age_ms = t_ms - plateau.start_ms
        if self._is_creep(explanation, delta):
            if age_ms >= (patience.ABSORB_CONFIRM_MS if explanation.is_nothing else patience.UNKNOWN_CONFIRM_MS):
                self._rebase(plateau)
            return []
        if age_ms < patience.UNKNOWN_CONFIRM_MS:
            return []
        grounds = self._evidence(plateau, explanation)
        told = self._journal.tell(EventKind.UNKNOWN, plateau.start_ms, t_ms, 0, delta, 0.5, evidence=grounds)
        self.memory.load_came(delta)
        self._rebase(plateau)
        return [told]

    def _load_gone(
        self, guess: Guess, plateau: Plateau, t_ms: int, delta: float, explanation: Explanation
    ) -> list[Decision]:
        """An unknown load left: its grams are taken back by a second ``unknown``."""
        if not guess.load_g:
            return []
        self.memory.load_left(-guess.load_g)
        grams = guess.load_g if guess.own or guess.other else delta
        grounds, conf = self._evidence(plateau, explanation), explanation.conf
        return [self._journal.tell(EventKind.UNKNOWN, plateau.start_ms, t_ms, 0, grams, conf, evidence=grounds)]

    # ------------------------------------------------------------------ accepting

    def _accept(
        self, guess: Guess, plateau: Plateau, t_ms: int, delta: float, explanation: Explanation, before_g: float
    ) -> list[Decision]:
        """Count it, learn from it, and tell it: a sale whose units went one by one as so many sales."""
        memory = self.memory
        evidence = self._evidence(plateau, explanation)
        if guess.own and not guess.other and not guess.load_g and not self._away and explanation.conf >= LEARN_CONF:
            master = self._master.article
            memory.unit.learn(guess.own, delta, evidence.sd_g, master.unit_g, master.sd_g)
            self._plan = self._master.learnt(self.memory.unit)
        decisions = []
        for start_ms, units in self._lots(guess, plateau, before_g):
            part = Guess(units, guess.other, guess.residual_sd, guess.log_weight)
            grams = delta * units / guess.own if guess.own else delta
            decisions.append(self._event(part, start_ms, t_ms, grams, explanation.conf, evidence))
        return decisions

    def _lots(self, guess: Guess, plateau: Plateau, before_g: float) -> list[tuple[int, int]]:
        if guess.own >= -1 or guess.other or guess.load_g or self._away:
            return [(plateau.start_ms, guess.own)]
        return lots_of(guess.own, self._rests(guess.own, plateau, before_g), plateau.start_ms)

    def _rests(self, units: int, plateau: Plateau, before_g: float) -> list[int | None]:
        """When the weight rested at 1, 2, … units on the way to a plateau."""
        return self._samples.rests(units, self._plan.article, self.memory.noise_g, plateau.start_ms, before_g)

    def _event(self, guess: Guess, start_ms: int, t_ms: int, delta: float, conf: float, evidence: Evidence) -> Decision:
        memory = self.memory
        memory.on_shelf = max(0, memory.on_shelf + guess.own)
        for sku, n in guess.other.items():
            memory.foreign[sku] = max(0, memory.foreign.get(sku, 0) + n)
        kind, of, why = self._kind(guess, start_ms, delta)
        decision = self._journal.tell(
            kind, start_ms, t_ms, guess.own, delta, conf, other=guess.other, of=of, why=why, evidence=evidence
        )
        change = Change(decision.id, start_ms, abs(guess.own), delta, conf)
        if kind is EventKind.SALE:
            self._undoable.sold(change)
        elif kind is EventKind.RESTOCK:
            self._undoable.refilled(change)
            memory.refill_seen()
        return decision

    def _kind(self, guess: Guess, start_ms: int, delta: float) -> tuple[EventKind, str, str]:
        """Kind of an accepted change, the event that it undoes, and why."""
        why = "while_away" if self._away else ""
        if guess.own == 0:
            return EventKind.ADJUST, "", "misplaced"
        if guess.own < 0:
            within_g = _SHIFT_SD * self._baseline.difference_sd(WINDOW, WINDOW)
            refill = self._undoable.refill_undone(-guess.own, delta, within_g, start_ms)
            if refill is None:
                return EventKind.SALE, "", why
            self.memory.refill_was_none()
            return EventKind.ADJUST, refill.id, "undone"
        sale = self._undoable.sale_for(guess.own, start_ms)
        if sale is None:
            return EventKind.RESTOCK, "", why
        self._undoable.put_back(sale, guess.own)
        return EventKind.PUT_BACK, sale.id, why

    def _rebase(self, plateau: Plateau) -> None:
        self._baseline.rebase(plateau.mean_g, plateau.samples)
        self._pending = self._solid = None
        self._away = False
        self._zero_checked = False

    # ------------------------------------------------------------------ loads, zero and tare

    def _came_and_went(self, load: Plateau) -> None:
        """A plateau that was not decided is gone: a bag, when it was long and heavy enough."""
        self._pending = self._solid = None
        heavy_g = load.mean_g - self._baseline.grams
        if heavy_g > ABSORB_SHARE * self._plan.article.unit_g and load.samples >= 2 * WINDOW:
            self.memory.load_seen()

    def _check_zero(self, t_ms: int) -> list[Decision]:
        """Once after each change: the scale says that nothing lies there, so nothing does."""
        self._zero_checked = True
        memory = self.memory
        if memory.zero_g is None or memory.on_shelf == 0:
            return []
        if abs(self._baseline.grams - memory.zero_g) > ABSORB_SHARE * self._plan.article.unit_g:
            return []
        units, memory.on_shelf = -memory.on_shelf, 0
        memory.foreign.clear()
        memory.loads_g.clear()
        return [self._journal.tell(EventKind.ADJUST, t_ms, t_ms, units, 0.0, 0.9, why="empty")]

    def _tared(self, t_ms: int, mean: float) -> list[Decision]:
        """The plateau that a tare has made, if it is one."""
        assert self._tare_until_ms is not None
        if t_ms > self._tare_until_ms:
            self._tare_until_ms = None
            return []
        if abs(mean + self.memory.temperature.correction_g) > ABSORB_SHARE * self._plan.article.unit_g:
            return []
        self._tare_until_ms = None
        delta = mean - self._baseline.grams
        plateau = Plateau(self._samples.start_ms, mean, WINDOW)
        evidence = self._evidence(plateau, Explanation(None))
        self._baseline.tare(mean, WINDOW)
        self._rebase(plateau)
        return [
            self._journal.tell(EventKind.ADJUST, plateau.start_ms, t_ms, 0, delta, 1.0, why="tare", evidence=evidence)
        ]

    def _evidence(self, plateau: Plateau, explanation: Explanation) -> Evidence:
        baseline, article = self._baseline, self._plan.article
        return Evidence(
            baseline.grams, plateau.mean_g, baseline.difference_sd(plateau.samples), self.memory.noise_g,
            plateau.samples, article.unit_g, article.sd_g, explanation.considered(),
        )  # fmt: skip
