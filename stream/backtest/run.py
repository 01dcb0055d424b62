"""The back-test itself: one real shop a series, from its first period to its last. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.backtest.candidates import Candidates
from stream.backtest.choice import Automatic
from stream.backtest.panel import Panel
from stream.backtest.policies import PolicyName, Textbook
from stream.backtest.promotion import Calendar
from stream.backtest.simulation import Shops, Terms

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DAY_SEASON: Final = 7
NUMBER_SEASONS: Final = (52, 12)
WEEK_SEASON: Final = 52
WEEK_DAYS: Final = 7
MONTH_SEASON: Final = 12
MONTH_DAYS: Final = 30


@dataclass(frozen=True)
class History:
    """What happened, in units; arrays of shape (series, periods)."""

    ordered: Floats
    end_stock: Floats
    lost: Floats


def backtest(panel: Panel, terms: Terms, name: PolicyName, weight: float) -> History:
    """Run a policy over a panel; ``weight`` of the newest period for the textbook policies."""
    opening, first, last = panel.opening, panel.first, panel.last
    policy: Automatic | Textbook
    if name is PolicyName.AUTO:
        candidates = Candidates(terms, opening / 2, seasons=seasons(panel.days, panel.known.shape[1]))
        policy = Automatic(terms, opening, candidates)
    else:
        policy = Textbook(name, terms, opening / 2, weight)
    promo = np.zeros_like(panel.units) if panel.promo is None else panel.promo
    calendar = Calendar(promo, terms.protection)
    shops = Shops(opening, 1, terms.lead_time)
    history = History(*(np.zeros_like(panel.units) for _ in range(3)))
    for period in range(panel.units.shape[1]):
        plans = calendar.plans(period)
        units, known = panel.units[:, period], panel.known[:, period]
        alive = (first <= period) & (period <= last)
        review = alive & ((period - first) % terms.review == 0)
        outcome = shops.pass_period(policy.rule(plans, period), review, units)
        if isinstance(policy, Automatic):
            policy.observe(review, units, known)
        policy.learn(plans[0], period, units, known)
        history.ordered[:, period] = outcome.ordered[:, 0]
        history.end_stock[:, period] = outcome.end_stock[:, 0]
        history.lost[:, period] = outcome.lost[:, 0]
    return history


def seasons(days: int | None, periods: int) -> tuple[int, ...]:
    """Lengths of season worth trying: the longest of which two fit into the periods."""
    found: tuple[int, ...]
    if days is None:
        found = NUMBER_SEASONS
    elif days == MONTH_DAYS:
        found = (MONTH_SEASON,)
    else:
        found = (DAY_SEASON,) if days == 1 else (WEEK_SEASON,) if days == WEEK_DAYS else ()
    return tuple(length for length in found if 2 * length <= periods)[:1]
