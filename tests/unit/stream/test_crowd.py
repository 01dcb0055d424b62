"""Demand follows the number of promotions that run side by side."""

import numpy as np
import pytest

from stream.backtest.promotion import Calendar
from stream.demand.crowd import CrowdEffect


def test_a_slope_is_learnt_for_promoted_series_and_one_for_the_others() -> None:
    rng = np.random.default_rng(1)
    effect = CrowdEffect()
    on = np.arange(40) < 15
    for _ in range(200):
        crowd = float(rng.normal())
        error = np.where(on, -0.5 * crowd, -0.1 * crowd) + rng.normal(0, 0.2, 40)
        effect.learn(on, crowd, error, np.ones(40, dtype=np.bool_))
    assert effect.effect(on, 1.0)[[0, 39]] == pytest.approx([-0.5, -0.1], abs=0.05)
    assert effect.effect(on, 0.0) == pytest.approx(0.0)


def test_a_handful_of_series_teaches_nothing() -> None:
    effect = CrowdEffect()
    on = np.array([True, True, False, False])
    effect.learn(on, 1.0, np.full(4, 2.0), np.ones(4, dtype=np.bool_))
    assert effect.effect(on, 1.0).tolist() == [0.0] * 4


def test_a_plan_tells_how_crowded_its_period_is_and_nothing_later_than_its_horizon_counts() -> None:
    promo = np.zeros((20, 12))
    promo[:2, ::2] = 1.0
    promo[:16, 5] = 1.0
    plans = Calendar(promo, 2).plans(4)
    assert plans[1].crowd > 1.0 > plans[0].crowd
    promo[:, 6:] = 1.0
    assert [plan.crowd for plan in Calendar(promo, 2).plans(4)] == [plan.crowd for plan in plans]
