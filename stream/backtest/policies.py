"""Policies as a back-test runs them: a rule a period, learnt from what was asked for. Pure."""

from enum import StrEnum
from statistics import NormalDist
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from stream.backtest.candidates import first_variance
from stream.backtest.simulation import Terms
from stream.demand.regression import Plan
from stream.demand.smoothing import ExponentialLevel
from stream.policy.rules import Rule

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

WEIGHT_DEFAULT: Final = 0.1
CAP_MEANS: Final = 1.5
"""Capped base stock orders at most so many times the mean demand of a review interval."""


class PolicyName(StrEnum):
    """Policies of the command line."""

    AUTO = "auto"
    BASE_STOCK = "base_stock"
    CAPPED_BASE_STOCK = "capped_base_stock"
    MIN_MAX = "min_max"
    REORDER_QUANTITY = "reorder_quantity"


class Policy(Protocol):
    """What a back-test asks: a rule before the demand of a period is known, and to learn from it afterwards."""

    def rule(self, plans: list[Plan], period: int) -> Rule:
        """Rule of ``period``, arrays of shape (series, 1); ``plans`` of it and the periods after."""
        ...

    def learn(self, plan: Plan, period: int, units: Floats, known: Bools) -> None:
        """Learn the demand of ``period`` where it is ``known``."""
        ...


class Textbook:
    """Exponentially weighted mean and variance, and the normal distribution over the protection interval.

    Base stock of the newsvendor's service level, and the other forms on the same level: capped (Xin 2021), (s, S) and
    (r, Q) with the economic order quantity as the lot, or a review interval's mean demand where orders cost nothing.
    """

    def __init__(self, name: PolicyName, terms: Terms, mean: Floats, weight: float = WEIGHT_DEFAULT) -> None:
        self._name = name
        self._terms = terms
        self._factor = NormalDist().inv_cdf(terms.critical_ratio)
        self._level = ExponentialLevel(weight, mean, first_variance(mean))

    def rule(self, plans: list[Plan], period: int) -> Rule:  # noqa: ARG002 - this one knows no plan
        """See Policy."""
        length = self._terms.protection
        mean = self._level.mean
        level = np.maximum(mean * length + self._factor * np.sqrt(self._level.variance * length), 0.0)[:, None]
        interval = mean[:, None] * self._terms.review
        lot = np.maximum(np.round(np.maximum(economic_lot(mean, self._terms)[:, None], interval)), 1.0)
        if self._name is PolicyName.CAPPED_BASE_STOCK:
            return Rule(level, level, cap=np.maximum(np.ceil(CAP_MEANS * interval), 1.0))
        if self._name is PolicyName.MIN_MAX:
            return Rule(level, level + lot)
        if self._name is PolicyName.REORDER_QUANTITY:
            return Rule(level, level + 1, batch=lot)
        return Rule(level, level)

    def learn(self, plan: Plan, period: int, units: Floats, known: Bools) -> None:  # noqa: ARG002 - see above
        """See Policy."""
        self._level.learn(units, known)


def economic_lot(mean: Floats, terms: Terms) -> Floats:
    """Economic order quantity sqrt(2 K d / h), units (Harris 1913); 0 where orders cost nothing."""
    lot: Floats = np.sqrt(2 * terms.order_cost * mean / terms.holding)
    return lot
