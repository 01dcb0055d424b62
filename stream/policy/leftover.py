"""Order-up-to levels for demand of which the leftover is sold slowly, as after a promotion. Pure; numpy arrays.

The newsvendor holds a unit too many for one period. One that was bought for a promotion that sold less is held until
usual demand has used it up: (leftover - usual stock) / usual demand periods longer. With lognormal demand D of the
protection interval and usual demand d a period, the level z is the one where one unit more costs as much as it saves:

    penalty x P(D > z) = holding x (P(D <= z) + E[max(z - D - slack, 0)] / d)

The expectation is the price of a put option under the lognormal law (Black and Scholes 1973, eq. 13, no interest).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Floats = npt.NDArray[np.float64]

NODES: Final = np.linspace(-2.0, 3.2, 27)
"""Levels that are tried, in standard deviations of the logarithm from the median."""
SPREAD_MIN: Final = 1e-3
USUAL_MIN: Final = 0.25
EXPONENT_MAX: Final = 6.0


@dataclass(frozen=True)
class LumpyDemand:
    """Lognormal demand of a protection interval, arrays over series.

    ``median`` units, ``spread`` the standard deviation of the logarithm, ``usual`` mean units a period in the long run,
    ``slack`` the safety stock that usual demand needs anyway.
    """

    median: Floats
    spread: Floats
    usual: Floats
    slack: Floats


def levels(demand: LumpyDemand, ratios: Floats) -> Floats:
    """Levels in units, shape (series, ratios), for each ratio of penalty to holding; see the module.

    Interpolated between nodes of the distribution; no level is below the lowest node or above the highest.
    """
    median = np.maximum(demand.median, 1e-9)[:, None]
    spread = np.maximum(demand.spread, SPREAD_MIN)[:, None]
    tried = median * np.exp(np.minimum(spread * NODES, EXPONENT_MAX))
    node = np.log(tried / median) / spread
    # The ratio of penalty to holding at which a tried level is right; it rises with the level.
    right = (ndtr(node) + held(demand, tried)) / ndtr(-node)
    logarithm = np.log(right)
    wanted = np.log(ratios)
    above = np.clip((logarithm[:, :, None] < wanted).sum(axis=1), 1, len(NODES) - 1)
    low, high = (np.take_along_axis(logarithm, at, axis=1) for at in (above - 1, above))
    share = np.clip((wanted - low) / np.maximum(high - low, 1e-12), 0.0, 1.0)
    below, beyond = (np.take_along_axis(tried, at, axis=1) for at in (above - 1, above))
    found: Floats = below + share * (beyond - below)
    return found


def held(demand: LumpyDemand, level: Floats) -> Floats:
    """Periods beyond the first that one unit more at each ``level`` (series, levels) is expected to be held."""
    median = np.maximum(demand.median, 1e-9)[:, None]
    spread = np.maximum(demand.spread, SPREAD_MIN)[:, None]
    mean = median * np.exp(np.minimum(spread**2 / 2, EXPONENT_MAX))
    strike = np.maximum(level - demand.slack[:, None], 1e-9)
    node = np.log(strike / median) / spread
    leftover = strike * ndtr(node) - mean * ndtr(node - spread)
    periods: Floats = np.maximum(leftover, 0.0) / np.maximum(demand.usual, USUAL_MIN)[:, None]
    return periods
