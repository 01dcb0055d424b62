"""What a difference of weight may mean, and which meaning is the likeliest. Pure.

A hypothesis is a number of the slot's own units, and beside them perhaps one of a neighbour's articles or a load that
leaves. It is accepted when the difference lies within ``ACCEPT_SD`` standard deviations of what it predicts,
sqrt(units * sigma_unit^2 + sigma_noise^2); of those accepted the one with the highest posterior density wins.

A rise that fits may still be a bag that happens to weigh so much: a load of any weight stands against every rise, and
loses weight as it stays, as bags do not. It never wins, but it lowers the confidence, and so makes the tracker wait.

Two rules stand before the densities, because they keep made-up events out however densities fall. A difference that
*nothing happened* explains is no event. And own units together with a neighbour's, which can be put together to almost
any weight when the two weigh nearly the same, are looked at only when everything simpler is out of the question.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from edge_agent.shelf.decision import Considered
from edge_agent.shelf.slot import Article, SlotMemory, SlotPlan

ACCEPT_SD: Final = 3.0
ALONE_SD: Final = 4.0
"""A drop that is nothing else may fit so badly: one unit in 370 is beyond 3 standard deviations."""
REJECT_SD: Final = 4.5
"""Beyond so many standard deviations a simple hypothesis is out of the question."""
COMPOUND_SD: Final = 2.0
"""Own units with a neighbour's must fit as well as this."""
ABSORB_SHARE: Final = 0.25
"""Differences below this share of a unit are creep or a load hardly worth a name, unless something explains them."""

_LOG_MIXED: Final = math.log(0.01)
_LOG_RETURNED: Final = math.log(0.1)
"""A foreign article that is known to lie there will be taken away some time."""
_LOG_LOAD_GONE: Final = math.log(0.3)
_LOG_UNKNOWN: Final = math.log(0.003 / 4_000.0)
LOAD_G: Final = 2_000.0
_LOG_LOAD: Final = math.log(0.2 / LOAD_G)
"""Loads that lie down as a refill does are rarer than refills, and weigh ``LOAD_G`` on average, some far more."""
LOAD_STAYS_MS: Final = 15_000
"""Half of the loads are gone after so long; the tail is heavy."""
HABIT_MAX: Final = 4.0
HABIT_PRIOR: Final = 3.0
_LOG_FULLER: Final = -5.0
"""A shelf is refilled when it is low: for each share of its capacity above ``LOW_SHARE``."""
LOW_SHARE: Final = 0.25
_LOG_STINGY: Final = -0.7
"""And it is filled: for each share of its capacity that is missing to ``FULL_SHARE`` afterwards."""
FULL_SHARE: Final = 0.7
_LOG_FULL: Final = 1.0
"""Often to the last unit that fits."""
CONSIDERED_MAX: Final = 4
DOUBTFUL_CONF: Final = 0.7
_LOG_MORE_SOLD: Final = -0.7
_LOG_RISE: Final = -1.0
_LOG_BOTH: Final = -3.0
_LOG_BEYOND: Final = -1.0
"""For each unit more than fit, or than there were, ``BEYOND_MAX`` at most: the count itself may be far off."""
BEYOND_MAX: Final = 2


class Guess(NamedTuple):
    """A hypothesis that explains a difference; ``residual_sd`` how far it is off, ``load_g`` the load that left."""

    own: int
    other: Mapping[str, int]
    residual_sd: float
    log_weight: float
    load_g: float = 0.0

    @property
    def is_compound(self) -> bool:
        """Whether it needs own units and foreign ones at once."""
        return self.own != 0 and bool(self.other)

    @property
    def is_swap(self) -> bool:
        """Whether own units went and a foreign one came, or the other way round."""
        return any(self.own * units < 0 for units in self.other.values())

    @property
    def rises(self) -> bool:
        """Whether something was laid down."""
        return self.own > 0 or (self.own == 0 and any(units > 0 for units in self.other.values()))


class Explanation(NamedTuple):
    """The likeliest hypothesis and its probability against all others; None when nothing explains the difference.

    ``is_nothing``: no event explains it well enough, that nothing happened does.
    """

    guess: Guess | None
    conf: float = 0.0
    is_nothing: bool = False
    guesses: Sequence[Guess] = ()
    total: float = 1.0

    @property
    def is_doubtful(self) -> bool:
        """Whether what fits is still likelier something else."""
        return self.conf < DOUBTFUL_CONF

    def considered(self) -> tuple[Considered, ...]:
        """The likeliest meanings, for the record."""
        ranked = sorted(self.guesses, key=lambda guess: -guess.log_weight)[:CONSIDERED_MAX]
        return tuple(
            Considered(g.own, g.other, g.load_g, g.residual_sd, math.exp(g.log_weight) / self.total) for g in ranked
        )


class _Foreign(NamedTuple):
    """A part of a difference that is not the slot's own article: one of a neighbour's, or a load that left."""

    other: Mapping[str, int]
    grams: float
    variance: float
    log_prior: float
    load_g: float = 0.0


def explain(delta_g: float, noise_sd_g: float, plan: SlotPlan, memory: SlotMemory, age_ms: int = 0) -> Explanation:
    """What a difference of ``delta_g`` between two plateaus means; ``noise_sd_g`` is that of the difference.

    ``age_ms`` is how long the new plateau lasts.
    """
    if _nothing_within(ACCEPT_SD, delta_g, noise_sd_g, plan.article):
        return Explanation(None, is_nothing=True)
    guesses = [
        guess
        for foreign in _foreigns(plan, memory)
        if (guess := _guess(delta_g, noise_sd_g, foreign, plan, memory)) is not None
    ]
    simple = [guess for guess in guesses if not guess.is_compound]
    accepted = [guess for guess in simple if guess.residual_sd <= ACCEPT_SD]
    if not simple and not _nothing_within(REJECT_SD, delta_g, noise_sd_g, plan.article):
        accepted = [guess for guess in guesses if guess.residual_sd <= COMPOUND_SD]
    if not accepted and delta_g < 0:
        accepted = [guess for guess in simple if guess.residual_sd <= ALONE_SD and not guess.other and not guess.load_g]
    best = max(accepted, key=lambda guess: guess.log_weight, default=None)
    if best is None or best.log_weight < _LOG_UNKNOWN:
        return Explanation(None, guesses=guesses)
    total = math.exp(_LOG_UNKNOWN) + sum(math.exp(guess.log_weight) for guess in accepted)
    if delta_g > 0 and best.rises:
        total += math.exp(_LOG_LOAD - delta_g / LOAD_G) * _habit(memory) / (1 + age_ms / LOAD_STAYS_MS)
    return Explanation(best, math.exp(best.log_weight) / total, guesses=guesses, total=total)


def opening_count(weight_g: float, noise_g: float, article: Article) -> tuple[int, float]:
    """How many units lie on a scale that was tared empty, and how sure that is."""
    counted = max(0, round(weight_g / article.unit_g))
    sd = math.sqrt(article.variance_g2(counted) + noise_g**2)
    off_by = abs(weight_g - counted * article.unit_g)
    return counted, max(0.0, min(1.0, 1.0 - off_by / (ACCEPT_SD * sd + article.unit_g / 2)))


def _habit(memory: SlotMemory) -> float:
    """How much oftener than usual this slot gets loads that are no refill."""
    ratio = (HABIT_PRIOR + memory.loads_seen) / (HABIT_PRIOR + memory.refills_seen)
    return max(1 / HABIT_MAX, min(HABIT_MAX, ratio))


def _nothing_within(limit_sd: float, delta_g: float, noise_sd_g: float, article: Article) -> bool:
    """Whether the same units may lie there as before, one perhaps exchanged for another of the same article."""
    sd = math.sqrt(2 * article.sd_g**2 + noise_sd_g**2)
    return abs(delta_g) <= min(limit_sd * sd, article.unit_g / 2)


def _foreigns(plan: SlotPlan, memory: SlotMemory) -> Iterator[_Foreign]:
    """No foreign part, one of each neighbour's articles laid down or taken away, a load gone."""
    yield _Foreign({}, 0.0, 0.0, 0.0)
    for article in plan.neighbours:
        is_known = memory.foreign.get(article.sku, 0) > 0
        yield _Foreign({article.sku: 1}, article.unit_g, article.sd_g**2, _LOG_MIXED)
        taken = _LOG_RETURNED if is_known else _LOG_MIXED + _LOG_RISE
        yield _Foreign({article.sku: -1}, -article.unit_g, article.sd_g**2, taken)
    loads_g = [load_g for load_g in memory.loads_g if abs(load_g) >= ABSORB_SHARE * plan.article.unit_g]
    if len(loads_g) > 1:
        loads_g.append(sum(loads_g))
    for load_g in loads_g:
        yield _Foreign({}, -load_g, 0.0, _LOG_LOAD_GONE, -load_g)


def _guess(
    delta_g: float, noise_sd_g: float, foreign: _Foreign, plan: SlotPlan, memory: SlotMemory
) -> Guess | None:  # fmt: skip
    """The slot's own units that explain what ``foreign`` leaves of the difference; None beyond ``REJECT_SD``."""
    article = plan.article
    rest_g = delta_g - foreign.grams
    own = round(rest_g / article.unit_g)
    if own == 0 and not foreign.other and not foreign.load_g:
        return None
    if own * foreign.load_g < 0:
        return None  # who takes a bag away may buy something; that as much is laid down at once explains anything
    sd = math.sqrt(article.variance_g2(own) + foreign.variance + noise_sd_g**2)
    residual_sd = abs(rest_g - own * article.unit_g) / sd
    if residual_sd > REJECT_SD:
        return None
    log_weight = foreign.log_prior - residual_sd**2 / 2 - math.log(sd * math.sqrt(2 * math.pi))
    log_weight += _log_prior(own, plan, memory)
    if own and foreign.other:
        log_weight += _LOG_BOTH
    return Guess(own, foreign.other, residual_sd, log_weight, foreign.load_g)


def _log_prior(own: int, plan: SlotPlan, memory: SlotMemory) -> float:
    """Of a change of the slot's own units.

    One is sold more often than two, a refill may be of any size, and the count that says how much more fits may
    itself be off by a few.
    """
    log_prior = 0.0
    if own < 0:
        log_prior = _LOG_MORE_SOLD * (-own - 1)
    elif own == 1:
        log_prior = _LOG_RISE
    elif own > 1:
        log_prior = _LOG_RISE - math.log(plan.capacity)
        log_prior += _LOG_FULLER * max(0.0, memory.on_shelf / plan.capacity - LOW_SHARE)
        log_prior += _LOG_STINGY * max(0.0, FULL_SHARE - (memory.on_shelf + own) / plan.capacity)
        log_prior += _LOG_FULL * (memory.on_shelf + own == plan.capacity)
    after = memory.on_shelf + own
    beyond = max(-after, after - plan.capacity, 0)
    return log_prior + _LOG_BEYOND * min(beyond, BEYOND_MAX)
